"""The directory at size: `python -m bench.directory`. 10,000 domains and 1,000,000 accounts.

What a start costs, what a process keeps, how long a look-up takes, and how soon a change is known;
next to how it was, with everything in the memory of every process.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from bench.directory_names import account_value, domain_name, writes
from bench.fill import Writers, unsynced_server
from bench.peers import BenchError
from bench.program import run
from ctl import embedded
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.address import Address
from tubepost.directory_values import account_key
from tubepost.nats_bus import NatsBus
from tubepost.provision import Plan, provision

PLAN = Plan(shards=1, replicas=1, relay_window=10_800.0)
READERS = (("scheduler", "domains"), ("smtpd", "read"), ("local", "read"), ("popauth", "read"))
WATCHERS = ("smtpd", "local", "popauth")

Numbers = dict[str, float]


async def measure(chosen: argparse.Namespace, folder: Path) -> None:
    """Prints as it goes."""
    if not (folder / "store").is_dir():
        await fill(chosen, folder)
    async with served(folder) as (server, config):
        print(f"nats-server: {memory(server.pid):.0f} MiB")
        for user, mode in READERS:
            show(user, await numbers_of(chosen, config, user, mode))
        await changes(chosen, config)
        if chosen.mirror:
            show("mirror", await numbers_of(chosen, config, "smtpd", "mirror"))
        print(f"nats-server after it all: {memory(server.pid):.0f} MiB")


async def fill(chosen: argparse.Namespace, folder: Path) -> None:
    """With the server's default sync, as no platform runs; then it is started as one does."""
    async with served(folder):
        binary = embedded.prepare(folder, PLAN.shards).command[0]
    began = time.perf_counter()
    async with unsynced_server(folder, binary) as client:
        writers = Writers(client)
        await writers.open()
        for subject, data in writes(chosen.domains, chosen.accounts):
            await writers.write(subject, data, {})
        await writers.finish()
    took = time.perf_counter() - began
    octets = sum(f.stat().st_size for f in (folder / "store").rglob("*") if f.is_file())
    each = octets / (chosen.domains + chosen.accounts)
    print(f"{chosen.domains} domains, {chosen.accounts} accounts: written in {took:.0f} s,")
    print(f"{octets / 2**20:.0f} MiB on disk, {each:.0f} octets each", flush=True)


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[NatsServer, embedded.Embedded]]:
    """The server of `tubepost up` on that data, with its streams."""
    config = embedded.prepare(folder, PLAN.shards)
    server = NatsServer(config.command, config.url)
    began = time.perf_counter()
    server.start()
    try:
        bus = await server.connect("scheduler", config.passwords["scheduler"])
        await provision(bus.client, PLAN)
        print(f"nats-server answers after {time.perf_counter() - began:.2f} s", flush=True)
        await bus.close()
        yield server, config
    finally:
        server.stop()


async def numbers_of(
    chosen: argparse.Namespace, config: embedded.Embedded, user: str, mode: str
) -> Numbers:
    reader = await started(chosen, config, user, mode)
    return await ended(reader)


async def started(
    chosen: argparse.Namespace, config: embedded.Embedded, user: str, mode: str
) -> asyncio.subprocess.Process:
    """A process of bench.directory_reader. It gets the password on stdin: others can see a list."""
    sizes = [
        f"--{name}={getattr(chosen, name)}"
        for name in ("domains", "accounts", "lookups", "changes")
    ]
    what = ["-m", "bench.directory_reader", mode, "--url", config.url, "--user", user, *sizes]
    pipe = asyncio.subprocess.PIPE
    reader = await asyncio.create_subprocess_exec(sys.executable, *what, stdin=pipe, stdout=pipe)
    assert reader.stdin
    reader.stdin.write(config.passwords[user].encode() + b"\n")
    await reader.stdin.drain()
    return reader


async def ended(reader: asyncio.subprocess.Process) -> Numbers:
    out, _ = await reader.communicate()
    if reader.returncode:
        raise BenchError(f"a reader ended with {reader.returncode}")
    numbers: Numbers = json.loads(out.splitlines()[-1])
    return numbers


async def line_of(reader: asyncio.subprocess.Process) -> bytes:
    assert reader.stdout
    line = await reader.stdout.readline()
    if not line:
        raise BenchError("a reader ended before it was done")
    return line


async def changes(chosen: argparse.Namespace, config: embedded.Embedded) -> None:
    """From just before a change is written until the last of all processes knows it."""
    password = config.passwords["popauth"]
    bus = await NatsBus.connect([config.url], name="popauth", user="popauth", password=password)
    address = Address("changed", domain_name(0))
    subject = subjects.bucket_key(subjects.DIRECTORY, account_key(address))
    await bus.append(subject, b"")  # a run before this one may have been broken off
    users = [WATCHERS[n % len(WATCHERS)] for n in range(chosen.processes)]
    readers = [await started(chosen, config, user, "watch") for user in users]
    for reader in readers:
        await line_of(reader)
    last = []
    for _ in range(chosen.changes):
        await bus.append(subject, account_value(address, str(time.time())))
        last.append(max([float(await line_of(reader)) * 1000 for reader in readers]))
    for reader in readers:
        await ended(reader)
    await bus.close()
    last.sort()
    print(f"a change is known to all {chosen.processes} processes after", end=" ")
    print(f"{last[len(last) // 2]:.1f} ms (median), {last[-1]:.1f} ms (longest of {len(last)})")


def show(name: str, numbers: Numbers) -> None:
    """One line for the start, one for look-ups."""
    grown = numbers["started"] - numbers["before"]
    print(f"{name}: start {numbers['start']:.3f} s, {numbers['before']:.0f} MiB before, ", end="")
    print(f"+{grown:.1f} MiB", end="")
    print(f", +{numbers['kept'] - numbers['before']:.1f} full" if "kept" in numbers else "")
    for what in ("cold", "warm", "nobody"):
        if f"{what} p50" in numbers:
            print(f"  {what}: {numbers[what + ' p50']:.4f} ms, ", end="")
            print(f"p99 {numbers[what + ' p99']:.4f} ms", end="")
            rate, cpu = numbers.get(f"{what} rate"), numbers.get(f"{what} cpu")
            print(f"; {rate:.0f}/s together, {cpu:.1f} us CPU each" if rate else "")
    sys.stdout.flush()


def memory(pid: int) -> float:
    """MiB resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.directory", description=__doc__)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=5_000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--processes", type=int, default=6, help="that hear of each change")
    parser.add_argument("--mirror", action="store_true", help="also how it was: all in memory")
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    parser.add_argument("--store", type=Path, help="kept from run to run, and filled in the first")
    chosen = parser.parse_args()
    if chosen.store:
        return run(lambda: uvloop.run(measure(chosen, chosen.store)))
    with tempfile.TemporaryDirectory(prefix="tubepost-bench-", dir=chosen.dir) as folder:
        return run(lambda: uvloop.run(measure(chosen, Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
