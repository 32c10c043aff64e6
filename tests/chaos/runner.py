"""One chaos run from its first process to its account."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import nats.errors

from tests.chaos import accounting, kills, logs, maildirs, workload
from tests.chaos.accounting import Account, Facts
from tests.chaos.causes import EXCUSED, REVIVED
from tests.chaos.client import Attempt, Client
from tests.chaos.fleet import Fleet, source_address
from tests.chaos.kills import Kill, Killer
from tests.chaos.logs import Logs
from tests.chaos.processes import Ended
from tests.chaos.pulse import ARRIVED, Pulse
from tests.chaos.servers import Left, Streams, streams
from tests.chaos.sink import Sink, listening

POLL = 0.5
QUIET_WITHIN = 30.0
LOOK_WITHIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`rate`: mails a second. `gap`: mean seconds between kills. `drain`: most seconds to wait
    for an empty queue. `victims`: kinds of processes that are killed."""

    servers: int
    seconds: float
    seed: int = 1
    rate: float = 15.0
    gap: float = 3.0
    drain: float = 240.0
    all_servers: bool = False
    victims: tuple[str, ...] = tuple(kills.AIMS)
    log_level: str = "info"
    keep: bool = False


@dataclass(slots=True)
class Run:
    """All that is known about a run when it is over."""

    options: Options
    folder: Path
    retries: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    held_back: int = 0
    kills: list[Kill] = field(default_factory=list)
    passed_over: int = 0
    sink_facts: dict[str, int] = field(default_factory=dict)
    drain_seconds: float | None = None
    """Until the streams were empty; None where they were not in time."""
    view_seconds: float | None = None
    """Until the schedulers said so too."""
    left: list[Left] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    bodies: set[str] = field(default_factory=set)
    ended: list[Ended] = field(default_factory=list)
    exit_codes: dict[str, int] = field(default_factory=dict)
    logs: Logs = field(default_factory=Logs)
    account: Account = field(default_factory=Account)

    @property
    def orphans(self) -> set[str]:
        """Bodies without a record that belong to an accepted mail."""
        accepted = {attempt.mail_id for attempt in self.attempts if attempt.mail_id}
        return self.bodies & accepted - {record.mail_id for record in self.left}

    @property
    def _ended_may_return(self) -> bool:
        """A single nats-server that was killed twice may bring purged messages back
        (tests/contracts/test_revival.py): listed, but a fault we cannot mend."""
        return self.options.servers == 1 and any(k.name.startswith(kills.NATS) for k in self.kills)

    @property
    def failures(self) -> list[str]:
        """Why the run has failed; empty where all is well."""
        counts = {
            "lost": len(self.account.lost),
            "still in the queue": len(self.account.stuck),
            "damaged": len(self.account.damaged),
            "wrong": len(self.account.wrong),
            "alarms in the logs": len(self.logs.alarms),
            "ended by themselves": len(self.ended),
            "exit codes other than 0": len(self.exit_codes),
            "bodies of ended mails": 0 if self._ended_may_return else len(self.orphans),
            "duplicates without a known cause": len(self.unexplained),
            "the queue did not become empty": self.drain_seconds is None,
            "the schedulers' view did not become empty": self.view_seconds is None,
        }
        return [f"{what}: {count}" for what, count in counts.items() if count]

    @property
    def unexplained(self) -> list[accounting.Duplicate]:
        """Duplicates that neither RFC 1047 nor a known fault of the server excuses."""
        excused = EXCUSED | ({REVIVED} if self._ended_may_return else set())
        return [d for d in self.account.duplicates if d.cause not in excused]


def _silent(_text: str) -> None:
    """Says nothing."""


async def run(options: Options, say: Callable[[str], None] = _silent) -> Run:
    """Does it all. Its folder is removed at the end unless something failed.

    `say` hears what begins.
    """
    folder = Path(tempfile.mkdtemp(prefix="tubepost-chaos-"))
    done = Run(options, folder)
    pulse = Pulse()
    try:
        async with listening(lambda: pulse.beat(ARRIVED)) as sink, _running(done) as fleet:
            say(f"starting {len(fleet.processes)} processes in {folder}")
            done.retries = await fleet.start(sink.port)
            say(f"mail and kills for {options.seconds:g} s")
            await _load(done, fleet, pulse)
            say(f"{len(done.kills)} kills done; waiting for an empty queue")
            await _settle(done, fleet, sink)
            say("stopping")
            done.exit_codes = await fleet.stop()
        _close_the_books(done, fleet, sink)
    finally:
        if not (done.failures or options.keep):
            shutil.rmtree(folder)
    return done


@contextlib.asynccontextmanager
async def _running(done: Run) -> AsyncIterator[Fleet]:
    """The processes; none is left afterwards, whatever happened."""
    fleet = Fleet(done.folder, done.options.servers, done.options.log_level)
    try:
        yield fleet
    finally:
        await fleet.kill()


async def _load(done: Run, fleet: Fleet, pulse: Pulse) -> None:
    """Mail and kills at the same time."""
    options = done.options
    work = workload.Workload(options.seed, retries=done.retries)
    client = Client(work, fleet.smtp, pulse, seed=options.seed, rate=options.rate)
    killer = Killer(fleet.servers, fleet.services, pulse, all_servers=options.all_servers)
    plan = kills.plan(options.seed, options.gap, options.victims) if options.gap else iter(())
    await asyncio.gather(client.run(options.seconds), killer.run(plan, options.seconds))
    done.attempts, done.held_back = client.attempts, client.held_back
    done.kills, done.passed_over = killer.kills, killer.passed_over


async def _settle(done: Run, fleet: Fleet, sink: Sink) -> None:
    """Waits for an empty queue and a quiet sink, then looks at what is left."""
    begin = time.monotonic()
    async with streams(fleet.servers) as looking:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(done.options.drain):
                await _empty(looking)
                done.drain_seconds = time.monotonic() - begin
                await _empty_view(fleet)
                done.view_seconds = time.monotonic() - begin
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_WITHIN):
                await sink.nobody_speaks()
        async with asyncio.timeout(LOOK_WITHIN):
            done.streams = await _patiently_counted(looking)
            done.left = await looking.records()
            done.bodies = await looking.bodies()


async def _empty(looking: Streams) -> None:
    """Returns once no record and no job is left."""
    while True:
        counts = await _patiently_counted(looking)
        if not sum(count for name, count in counts.items() if name != "MAIL"):
            return
        await asyncio.sleep(POLL)


async def _empty_view(fleet: Fleet) -> None:
    """Returns once the schedulers count no mail."""
    while True:
        if await fleet.in_queue() == 0:
            return
        await asyncio.sleep(POLL)


async def _patiently_counted(looking: Streams) -> dict[str, int]:
    while True:
        try:
            return await looking.counts()
        except (nats.errors.Error, OSError, TimeoutError):
            await asyncio.sleep(POLL)  # a server is on its way back


def _close_the_books(done: Run, fleet: Fleet, sink: Sink) -> None:
    done.ended = [end for process in fleet.processes for end in process.ended]
    done.sink_facts = {
        "arrivals": len(sink.arrivals),
        "said later": sink.said_later,
        "refused": sink.refused,
        "thrown away": sink.thrown_away,
    }
    services = (process for group in fleet.services.values() for process in group)
    done.logs = logs.read(fleet.logs / f"{process.name}.log" for process in services)
    remotes = fleet.services["remote"]
    done.account = accounting.account(
        Facts(
            attempts=done.attempts,
            arrivals=sink.arrivals,
            boxed=maildirs.boxed(fleet),
            bounces=maildirs.bounces(fleet),
            left=done.left,
            kills=done.kills,
            stored=done.logs.stored(),
            worker_at={source_address(n + 1): p.name for n, p in enumerate(remotes)},
        )
    )
