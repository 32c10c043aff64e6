"""What floods a platform while lone mails go by: a long line at a host, a client, bulk mail."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import lone, records
from bench.fill import fill
from bench.load import SOURCE
from bench.peers import BenchError
from bench.platform import Platform
from bench.sink import Sink
from tubepost.subjects import REMOTE, shard_of

LINE = "line.example"
"""The domain with the long line, or the one a client floods."""

RECIPIENTS = 50
SESSIONS = 5
ENDLESS = 1_000_000
HEAD_START = 5.0
"""Seconds a flood runs before the first lone mail."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`queued`: mails due at LINE from the start. `delay`, `mute`: how the flood's host answers.

    `client`: a client submits to LINE as fast as it can. `bulk`: a newsletter goes to many domains.
    """

    title: str
    queued: int = 0
    delay: float = 0.0
    mute: bool = False
    client: bool = False
    bulk: bool = False


def scenarios(queued: int) -> Sequence[Scenario]:
    """The quiet platform first. 200 slots of 2 s take 100 bulk mails a second of 200."""
    return (
        Scenario("quiet"),
        Scenario("slow host", queued=queued, delay=0.5),
        Scenario("dead host", queued=queued, mute=True),
        Scenario("client floods", delay=0.5, client=True),
        Scenario("bulk floods", delay=2.0, bulk=True),
    )


def lone_domain(shards: int) -> str:
    """A domain in the same shard as LINE: the harder place to be."""
    wanted = shard_of(REMOTE, LINE, "", shards)
    names = (f"lone{number}.example" for number in range(1000))
    return next(name for name in names if shard_of(REMOTE, name, "", shards) == wanted)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`queued`: mails in the queue when the lone ones began, and at their end."""

    delays: lone.Delays
    queued: tuple[int, int]


def measure(platform: Platform, scenario: Scenario, pace: lone.Pace) -> Outcome:
    """Lone mails beside the flood. The platform runs, its queue is empty; stop it afterwards."""
    with (
        tempfile.TemporaryDirectory(dir=platform.folder) as folder,
        Sink(Path(folder, "lone")) as quick,
        Sink(Path(folder, "flood"), delay=scenario.delay, mute=scenario.mute) as host,
    ):
        domain = lone_domain(platform.shards)
        platform.set("smtproutes", f"{domain}:127.0.0.1:{quick.port}", f":127.0.0.1:{host.port}")
        platform.set("tcprules", '127.:allow,RELAYCLIENT=""')
        if scenario.queued:
            platform.stop()
            kind = records.Kind(size=2048, wait=(-3600, -60), domain=LINE)
            fill(platform, scenario.queued, kind)
            platform.launch()
        with _flooding(platform.port, scenario):
            time.sleep(HEAD_START)
            before = platform.queued()
            delays = lone.follow(
                platform.port, "lone@client.example", f"lone@{domain}", pace, quick.received
            )
            return Outcome(delays, (before, platform.queued()))


@contextlib.contextmanager
def _flooding(port: int, scenario: Scenario) -> Iterator[None]:
    """Runs what floods. Raises BenchError where it has ended by itself: a mail was refused."""
    commands = [_client(port)] if scenario.client else []
    commands += [_bulk(port)] if scenario.bulk else []
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    try:
        yield
        if any(process.poll() is not None for process in started):
            raise BenchError(f"{scenario.title}: what floods was refused, and ended")
    finally:
        for process in started:
            process.kill()
            process.wait()


def _client(port: int) -> list[str]:
    counts = ["-s", str(SESSIONS), "-m", str(ENDLESS), "-r", str(RECIPIENTS), "-l", "2048"]
    names = ["-M", "client.example", "-f", "flood@flood.example", "-t", f"r@{LINE}"]
    return [SOURCE, "-4", "-d", *counts, *names, f"127.0.0.1:{port}"]


def _bulk(port: int) -> list[str]:
    return [sys.executable, "-m", "bench.bulk", "--port", str(port)]
