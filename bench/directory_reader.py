"""One process that reads the directory: what `bench.directory` starts, and what it measures.

Numbers go to stdout as one JSON object. `mirror` is how it was before: all of it in memory.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench.directory_names import account_of, domain_name
from tubepost import subjects
from tubepost.address import Address
from tubepost.directory import Directory
from tubepost.directory_values import address_in, entry_of
from tubepost.domains import Domains
from tubepost.keyed import Mirror, Value
from tubepost.nats_bus import NatsBus
from tubepost.tasks import background

AT_ONCE = 64
OFTEN = 0.002
"""Seconds between two looks of a process that waits for a change."""

Numbers = dict[str, float]
Ask = Callable[[Address], Awaitable[object]]


async def read(chosen: argparse.Namespace, bus: NatsBus) -> Numbers:
    """smtpd, local, popauth: start, then look-ups."""
    before, directory = resident(), Directory(bus)
    began = time.perf_counter()
    async with background(directory.run()):
        await directory.loaded()
        numbers = {"start": time.perf_counter() - began, "before": before, "started": resident()}
        everybody = random.Random(1).sample(range(chosen.accounts), 4 * chosen.lookups)
        some = [account_of(n, chosen.domains) for n in everybody]
        nobody = [Address(f"no-{a.local}", a.domain) for a in some[: chosen.lookups]]
        lone, many = some[: chosen.lookups], some[chosen.lookups :]
        numbers |= await one_by_one("cold", directory.account, lone)
        numbers |= await one_by_one("warm", directory.account, lone)
        numbers |= await one_by_one("nobody", directory.account, nobody)
        numbers |= await together("cold", directory.account, many)
        numbers |= await together("warm", directory.account, many[-chosen.lookups :])
        filled = random.Random(2).sample(range(chosen.accounts), min(chosen.accounts, 25_000))
        await together("", directory.account, [account_of(n, chosen.domains) for n in filled])
        return {**numbers, "kept": resident()}


async def domains(_chosen: argparse.Namespace, bus: NatsBus) -> Numbers:
    """scheduler."""
    before, found = resident(), Domains(bus)
    began = time.perf_counter()
    async with background(found.run()):
        await found.loaded()
        return {"start": time.perf_counter() - began, "before": before, "started": resident()}


async def mirror(_chosen: argparse.Namespace, bus: NatsBus) -> Numbers:
    """Everything followed from the first change on, and each account made of it."""
    before, accounts = resident(), dict[str, object]()

    def on_change(key: str, value: Value | None) -> None:
        if value is not None and key.startswith("account."):
            accounts[key] = entry_of(address_in(key), value)

    everything = Mirror(bus, subjects.DIRECTORY, on_change)
    began = time.perf_counter()
    async with background(everything.run()):
        await everything.loaded.wait()
        return {"start": time.perf_counter() - began, "before": before, "started": resident()}


async def watch(chosen: argparse.Namespace, bus: NatsBus) -> Numbers:
    """Knows one account, and looks again and again: a line with the seconds until it knew."""
    directory, known = Directory(bus), ""
    async with background(directory.run()):
        await directory.loaded()
        address = Address("changed", domain_name(0))
        await directory.account(address)
        print("ready", flush=True)
        for _ in range(chosen.changes):
            while (name := await name_of(directory, address)) == known:  # noqa: ASYNC110 - no event
                await asyncio.sleep(OFTEN)
            print(time.time() - float(name), flush=True)
            known = name
        return {}


async def name_of(directory: Directory, address: Address) -> str:
    """The instant it was written."""
    account = await directory.account(address)
    return account.name if account else ""


MODES = {"read": read, "domains": domains, "mirror": mirror, "watch": watch}


async def one_by_one(what: str, ask: Ask, addresses: list[Address]) -> Numbers:
    """Milliseconds a look-up takes."""
    took = []
    for address in addresses:
        began = time.perf_counter()
        await ask(address)
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {f"{what} p50": took[len(took) // 2], f"{what} p99": took[len(took) * 99 // 100]}


async def together(what: str, ask: Ask, addresses: list[Address]) -> Numbers:
    """Look-ups a second, AT_ONCE of them under way."""
    left = iter(addresses)

    async def some() -> None:
        for address in left:
            await ask(address)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*itertools.starmap(some, [()] * AT_ONCE))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    each = cpu / len(addresses) * 1e6
    return {f"{what} rate": len(addresses) / wall, f"{what} cpu": each}


def resident() -> float:
    """MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


async def _run(chosen: argparse.Namespace) -> Numbers:
    password = sys.stdin.readline().strip()
    bus = await NatsBus.connect([chosen.url], name=chosen.user, user=chosen.user, password=password)
    try:
        return await MODES[chosen.mode](chosen, bus)
    finally:
        await bus.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.directory_reader", description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--url", required=True)
    parser.add_argument("--user", required=True)
    for name in ("domains", "accounts", "lookups", "changes"):
        parser.add_argument(f"--{name}", type=int, default=0)
    print(json.dumps(uvloop.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
