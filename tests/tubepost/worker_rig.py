"""A worker of tubepost.delivery on a bus in memory, with a courier that does what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.delivery import Mail, Worker
from tubepost.events import NOBODY, Teller
from tubepost.mailstore import MailStore
from tubepost.outcome import Outcome
from tubepost.record import Envelope, Held
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.subjects import Key

HERE = Route("local", "x.y")
JOE, ANN = "joe@x.y", "ann@x.y"
WEEK = 604_800.0


@dataclass
class ScriptedCourier:
    """Delivers as `says` tells; `gate` holds deliveries until it is set."""

    says: Callable[[Mail], Mapping[str, Outcome]]
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    given: list[Mail] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        self.given.append(mail)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return self.says(mail)


def everyone(outcome: Outcome) -> Callable[[Mail], Mapping[str, Outcome]]:
    return lambda mail: dict.fromkeys(mail.recipients, outcome)


@dataclass
class Rig:
    """A worker on a bus in memory, and what the owner of the shards would hear."""

    bus: MemoryBus
    clock: FakeClock
    store: MailStore
    courier: ScriptedCourier
    stopping: asyncio.Event
    hints: list[tuple[Key, int]]
    worker: Worker

    async def accept(
        self, mail_id: str = "m", body: bytes = b"hello", to: tuple[str, ...] = (JOE,)
    ) -> Held:
        return await self.accept_as(Envelope("s@x.y", to), mail_id, body)

    async def accept_as(
        self, envelope: Envelope, mail_id: str = "m", body: bytes = b"hello"
    ) -> Held:
        routes = [HERE] * len(envelope.recipients)
        key = await self.store.accept(envelope, routes, body, mail_id=mail_id, now=self.clock())
        found = await self.store.read(key)
        assert found is not None
        return found

    async def send(self, held: Held, seq: int | None = None, *, suspect: bool = False) -> str:
        job = held.key.job("local")
        data = subjects.job(seq or held.seq, suspect=suspect)
        await self.bus.append(job, data, expect=0)
        return job

    async def finished(self, job: str) -> None:
        """Returns when the job is finished."""
        await self.until(lambda: self._gone(job))

    async def _gone(self, job: str) -> bool:
        return await self.bus.read(subjects.DISPATCH, job) is None

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await condition():  # noqa: ASYNC110 - any state, no one event
                await asyncio.sleep(0)

    async def handed_over(self, count: int) -> None:
        """Returns when the courier has been given that many mails."""

        async def enough() -> bool:
            return len(self.courier.given) >= count

        await self.until(enough)

    async def quiet(self) -> None:
        """Lets everything run that can."""
        for _ in range(100):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def working(
    bus: MemoryBus,
    clock: FakeClock,
    says: Callable[[Mail], Mapping[str, Outcome]],
    *,
    slots: int = 4,
    held_back: bool = False,
    events: Teller = NOBODY,
) -> AsyncIterator[Rig]:
    hints: list[tuple[Key, int]] = []

    async def hear(_subject: str, data: bytes) -> None:
        hints.append(subjects.parse_hint(data))

    await bus.answer(subjects.DONE_HINT_ANY, hear)
    courier, store, stopping = ScriptedCourier(says), MailStore(bus, 2), asyncio.Event()
    if not held_back:
        courier.gate.set()
    worker = Worker(
        bus,
        store,
        "local",
        courier,
        slots=slots,
        clock=clock,
        rules=lambda: Rules(WEEK),
        events=events,
    )
    running = asyncio.create_task(worker.run(stopping))
    yield Rig(bus, clock, store, courier, stopping, hints, worker)
    courier.gate.set()
    stopping.set()
    async with asyncio.timeout(10):
        await running
