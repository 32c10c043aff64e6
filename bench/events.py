"""What telling costs: events a second, CPU of ours and of nats-server: `python -m bench.events`.

Must not measure anything but the emitter and the server: no mail is sent.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from ctl import embedded
from tests.nats_server import NatsServer
from tubepost import metrics, subjects
from tubepost.events import BUFFER, Events
from tubepost.mailstore import new_mail_id
from tubepost.nats_bus import NatsBus
from tubepost.provision import Plan, provision
from tubepost.tasks import background

ATTEMPT: dict[str, Any] = {
    "unit": "0",
    "channel": "remote",
    "destination": "far.example",
    "attempt": 1,
    "began": 1_700_000_000.123,
    "seconds": 0.1234,
    "recipients": [
        {
            "address": "ann@far.example",
            "outcome": "success",
            "status": "2.0.0",
            "text": "192.0.2.1 accepted message./Remote host said: 250 2.0.0 ok queued as 4Zk2/",
            "peer": "192.0.2.1",
        }
    ],
    "state": "done",
    "next_attempt": None,
    "group": False,
}


async def measure(folder: Path, count: int) -> None:
    """Tells `count` events as fast as they go out, and prints what it cost."""
    config = embedded.prepare(folder, 1)
    server = NatsServer(config.command, config.url)
    server.start()
    bus = await server.connect("scheduler", config.passwords["scheduler"])
    await provision(bus.client, Plan(shards=1, replicas=1, relay_window=10_800.0))
    ids = [new_mail_id(time.time()) for _ in range(BUFFER)]
    try:
        async with background((events := Events(bus, "bench", "1", time.time)).run()):
            await told(bus, events, ids, BUFFER)  # the first ones find everything cold
            pid = server.pid
            before, ours, theirs = time.perf_counter(), time.process_time(), cpu_of(pid)
            emitting = await told(bus, events, ids, count)
            wall = time.perf_counter() - before
            ours, theirs = time.process_time() - ours, cpu_of(pid) - theirs
    finally:
        await bus.close()
        server.stop()
    dropped = metrics.EVENTS_DROPPED._value.get()
    print(f"{count} events in {wall:.2f} s: {count / wall:.0f}/s, {dropped:g} dropped")
    print(f"CPU an event: {ours / count * 1e6:.1f} us of ours, of it {emitting / count * 1e6:.1f}")
    print(f"us in emit; {theirs / count * 1e6:.1f} us of nats-server")


async def told(bus: NatsBus, events: Events, ids: list[str], count: int) -> float:
    """Returns when the stream has them; the CPU seconds that emitting alone took."""
    emitting, end = 0.0, await bus.position(subjects.EVENTS) + count
    for start in range(0, count, BUFFER):
        begin = time.process_time()
        for mail_id in ids[: min(BUFFER, count - start)]:
            events.emit("attempt", mail_id, **ATTEMPT)
        emitting += time.process_time() - begin
        while events.waiting:  # noqa: ASYNC110 - the emitter tells nobody
            await asyncio.sleep(0.005)
    while await bus.position(subjects.EVENTS) < end:  # noqa: ASYNC110 - nor does the server
        await asyncio.sleep(0.005)
    return emitting


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / 100


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.events", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, default="/var/tmp", help="on a real disk (/var/tmp)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.dir) as folder:
        uvloop.run(measure(Path(folder), chosen.events))


if __name__ == "__main__":
    main()
