"""What a count of rates costs, on the bus or told by gossip: `python -m bench.rates`.

A publish to a memory stream stands for a counter kept on the bus: it cannot be cheaper than that.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import uvloop
from nats.js.api import StorageType

from bench.events import cpu_of
from services.smtpd.gossip import EVERY, Gossip
from services.smtpd.rates import Rates
from tests.nats_server import NatsServer
from tubepost.nats_bus import NatsBus
from tubepost.rate_limits import MAILS, Limit
from tubepost.tasks import background

HOUR = Limit(1_000_000, 3600)
EACH_ROUND = 200
"""Events of as many clients between two rounds of gossip: 1,000 mails a second."""


async def measure(folder: Path, count: int) -> None:
    """Prints both."""
    server = NatsServer.plain(folder)
    server.start()
    one, two = await server.connect(), await server.connect()
    try:
        await one.client.jetstream().add_stream(
            name="BENCH", subjects=["bench.>"], storage=StorageType.MEMORY, max_msgs_per_subject=1
        )
        await on_the_bus(one, server.pid, count)
        await by_gossip(one, two, server.pid, count)
    finally:
        await one.close()
        await two.close()
        server.stop()


async def on_the_bus(bus: NatsBus, pid: int, count: int) -> None:
    """One after another, as a session has to wait for it."""
    wall, ours, theirs = time.perf_counter(), time.process_time(), cpu_of(pid)
    for number in range(count):
        await bus.append(f"bench.{number % 1000}", b"1")
    shown("publish and wait", count, time.perf_counter() - wall, ours, pid, theirs)


async def by_gossip(one: NatsBus, two: NatsBus, pid: int, count: int) -> None:
    """Counted in one process, told to another (here both in this one, so ours is for two)."""
    teller, hearer = [Gossip(bus, Rates(name), time.time) for bus, name in ((one, "a"), (two, "b"))]
    async with background(teller.run(), hearer.run()):
        await asyncio.sleep(EVERY)
        ours, theirs, counting = time.process_time(), cpu_of(pid), 0.0
        for start in range(0, count, EACH_ROUND):
            before = time.perf_counter()
            for number in range(start, start + EACH_ROUND):
                who = f"192.0.2.{number % 1000}"
                teller.rates.count(MAILS, HOUR, who, time.time())
                teller.rates.add(MAILS, HOUR, who, time.time())
                teller.wake()
            counting += time.perf_counter() - before
            await asyncio.sleep(EVERY)
        await asyncio.sleep(EVERY)
        shown("count and tell", count, counting, ours, pid, theirs)
    assert list(hearer.rates.rows(of_others=True)), "nothing was heard"


def shown(what: str, count: int, waited: float, ours: float, pid: int, theirs: float) -> None:
    """`waited`: seconds the sessions had to wait, all together."""
    ours, theirs = time.process_time() - ours, cpu_of(pid) - theirs
    each = 1e6 / count
    print(f"{what}: waits {waited * each:.1f} us; CPU {ours * each:.1f} us of ours,", end=" ")
    print(f"{theirs * each:.1f} us of nats-server")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.rates", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(measure(Path(folder), chosen.events))


if __name__ == "__main__":
    main()
