"""CPU of remote for a mail, with and without kept connections: `python -m bench.remote_cost`.

One worker in this process, wired as remote wires it but for DNS, on a nats-server and against a
smtp-sink in processes of their own. It measures only this process, and no rate: that is
bench.throughput's. `user`: what Python takes; the rest is the kernel's, which other work disturbs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import postfix, program
from bench.peers import BenchError
from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.idle import Limits
from services.remote.loop_guard import NOBODY, Ourselves
from services.remote.metering import Metering
from services.remote.mx import Host
from services.remote.plan import planner
from services.remote.pool import NO_REUSE, Pool
from services.remote.remembering import RememberingCourier
from services.remote.suppressions import Suppressions
from tubepost import log_lines, provision, remote_values, subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.events import Events
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.record import Envelope
from tubepost.routing import Route
from tubepost.runtime import settle_memory
from tubepost.tasks import background

ME = "me.example"
DOMAIN = "bench.example"
BODY = (
    b"Subject: bench\r\nX-Filler: y\r\n\r\n" + b"a line of some forty characters, as mail\r\n" * 97
)
KEEPING = Limits(idle=5, life=300, mails=100)
STARTED = 15.0


@dataclass(frozen=True)
class Sink:
    """A Resolver that knows one host."""

    host: Host

    async def mail_hosts(self, domain: str, us: Ourselves = NOBODY) -> Sequence[Host]:
        """See Resolver."""
        return [self.host]

    async def addresses(self, name: str) -> Sequence[Host]:
        """See Resolver."""
        return [self.host]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of this process for a mail."""

    user: float
    system: float


async def measure(bus: NatsBus, sink: Sink, limits: Limits, mails: int, slots: int) -> Cost:
    """From the job to the end of its record."""
    stopping, control, metering = asyncio.Event(), Control(bus, ME), Metering(time.monotonic)
    pool, events = Pool(lambda: limits, metering), Events(bus, "remote", "bench", time.time)
    worker = Worker(
        bus,
        MailStore(bus, 1),
        subjects.REMOTE,
        courier(bus, control, sink, pool, metering),
        slots=slots,
        clock=time.time,
        rules=lambda: control.retry_rules,
        events=events,
    )
    await fill(bus, mails)
    settle_memory()
    began = os.times()
    async with background(events.run()), pool.open_until(stopping):
        running = asyncio.create_task(worker.run(stopping))
        while await left(bus):  # noqa: ASYNC110 - the bus does not tell when a stream is empty
            await asyncio.sleep(0.05)
        ended = os.times()
        stopping.set()
        await running
    return Cost((ended.user - began.user) / mails, (ended.system - began.system) / mails)


def courier(
    bus: NatsBus, control: Control, sink: Sink, pool: Pool, metering: Metering
) -> RememberingCourier:
    """As in services.remote.app, but for DNS."""
    return RememberingCourier(
        courier=RemoteCourier(
            plan=planner(control),
            resolver=sink,
            pool=pool,
            health=SharedHealth(bus, time.time, lambda: control.get(remote_values.HOSTBACKOFF)),
            port=sink.host.port,
        ),
        suppressions=Suppressions(bus, time.time),
        control=control,
        clock=time.time,
        counted=metering,
    )


async def fill(bus: NatsBus, mails: int) -> None:
    """Mails in the queue, and a job for each."""
    store, route = MailStore(bus, 1), Route(subjects.REMOTE, DOMAIN)
    for number in range(mails):
        envelope = Envelope("s@example.org", (f"r{number}@{DOMAIN}",))
        name = f"m{time.time_ns()}"
        key = await store.accept(envelope, [route], BODY, mail_id=name, now=time.time())
        held = await store.read(key)
        if held is None:
            raise BenchError("the queue lost a mail")
        await bus.append(key.job(subjects.REMOTE), subjects.job(held.seq), expect=0)


async def left(bus: NatsBus) -> int:
    """Jobs that are not done."""
    info = await bus.client.jetstream().stream_info(subjects.DISPATCH)
    return info.state.messages


@contextlib.asynccontextmanager
async def on_a_bus(folder: Path) -> AsyncIterator[NatsBus]:
    """A nats-server of our own, without fsync: what it costs is not measured."""
    port = free_port()
    config: dict[str, Any] = {
        "listen": f"127.0.0.1:{port}",
        "log_file": str(folder / "nats.log"),
        "jetstream": {"store_dir": str(folder), "max_mem": 1 << 28, "max_file": 1 << 30},
    }
    file = folder / "nats.conf"
    file.write_text(json.dumps(config))
    server = await asyncio.create_subprocess_exec(
        str(Path(sys.prefix) / "bin" / "nats-server"), "-c", str(file)
    )
    try:
        async with asyncio.timeout(STARTED):
            bus = await NatsBus.connect([f"nats://127.0.0.1:{port}"], name="bench")
        await provision.provision(bus.client, provision.Plan(1, 1, 60.0))
        yield bus
        await bus.close()
    finally:
        server.terminate()
        await server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.remote_cost", description=__doc__)
    parser.add_argument("--mails", type=int, default=2000, help="mails a round (2000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both kinds (3)")
    parser.add_argument("--log", action="store_true", help="with remote's log, on stderr")
    parser.add_argument("--slots", type=int, default=20, help="deliveries at once (20)")
    return parser.parse_args()


async def bench(chosen: argparse.Namespace) -> None:
    """Rounds of both kinds in turn."""
    log_lines.configure("info" if chosen.log else "error", "bench")
    port = free_port()
    command = [f"{postfix.SBIN}/smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "500"]
    sink = await asyncio.create_subprocess_exec(*command)
    try:
        with tempfile.TemporaryDirectory() as name:
            async with on_a_bus(Path(name)) as bus:
                await rounds(bus, Sink(Host("sink", "127.0.0.1", port)), chosen)
    finally:
        sink.terminate()
        await sink.wait()


async def rounds(bus: NatsBus, sink: Sink, chosen: argparse.Namespace) -> None:
    for _ in range(chosen.rounds):
        for title, limits in (("one mail a connection", NO_REUSE), ("kept", KEEPING)):
            cost = await measure(bus, sink, limits, chosen.mails, chosen.slots)
            both = cost.user + cost.system
            print(f"{title:24} {both * 1e3:.3f} ms a mail, {cost.user * 1e3:.3f} user", flush=True)


def main() -> None:
    """Runs the rounds."""
    postfix.install_if_missing()  # for smtp-sink
    uvloop.run(bench(options()))


if __name__ == "__main__":
    sys.exit(program.run(main))
