"""The worker's loop: what becomes of a job, whatever the courier and the bus do."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pytest

from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.delivery import Mail, Worker
from tubepost.mailstore import MailStore
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import INLINE_LIMIT, Envelope, Held, State
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

    async def accept(
        self, mail_id: str = "m", body: bytes = b"hello", to: tuple[str, ...] = (JOE,)
    ) -> Held:
        routes = [HERE] * len(to)
        key = await self.store.accept(
            Envelope("s@x.y", to), routes, body, mail_id=mail_id, now=self.clock()
        )
        found = await self.store.read(key)
        assert found is not None
        return found

    async def send(self, held: Held, seq: int | None = None) -> str:
        job = held.key.job("local")
        await self.bus.append(job, str(seq or held.seq).encode(), expect=0)
        return job

    async def finished(self, job: str) -> None:
        """Returns when the job is finished."""
        await self.until(lambda: self._gone(job))

    async def _gone(self, job: str) -> bool:
        return await self.bus.read(subjects.DISPATCH, job) is None

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await condition():
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
) -> AsyncIterator[Rig]:
    hints: list[tuple[Key, int]] = []

    async def hear(_subject: str, data: bytes) -> None:
        hints.append(subjects.parse_hint(data))

    await bus.answer(subjects.DONE_HINT_ANY, hear)
    courier, store, stopping = ScriptedCourier(says), MailStore(bus, 2), asyncio.Event()
    if not held_back:
        courier.gate.set()
    worker = Worker(
        bus, store, "local", courier, slots=slots, clock=clock, lifetime=lambda: WEEK
    )
    running = asyncio.create_task(worker.run(stopping))
    yield Rig(bus, clock, store, courier, stopping, hints)
    courier.gate.set()
    stopping.set()
    async with asyncio.timeout(10):
        await running


async def test_a_delivered_mail_leaves_the_queue(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        assert not await rig.store.exists(held.key)
        assert rig.hints == [(held.key, held.seq)]
    assert rig.courier.given == [
        Mail(held.key, "s@x.y", (JOE,), "x.y", b"hello", 1, held.record.created)
    ]


async def test_a_big_body_reaches_the_courier(memory_bus: MemoryBus, clock: FakeClock) -> None:
    body = bytes(range(256)) * (INLINE_LIMIT // 256) + b"more"
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept(body=body)
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
        assert left is not None
        assert left.record.state is State.DONE
    assert rig.courier.given[0].body == body


@pytest.mark.parametrize(
    ("outcome", "state", "status"),
    [
        (Deferred(text="busy", status="4.2.1"), State.PENDING, "4.2.1"),
        (Failed(text="no", status="5.1.1"), State.BOUNCE, "5.1.1"),
    ],
)
async def test_what_is_not_delivered_stays(
    memory_bus: MemoryBus, clock: FakeClock, outcome: Outcome, state: State, status: str
) -> None:
    async with working(memory_bus, clock, everyone(outcome)) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
        assert rig.hints == []
    assert left is not None
    assert (left.record.state, left.record.attempts) == (state, 1)
    assert left.record.recipients[0].status == status
    assert left.payload == b"hello"


async def test_only_who_waits_is_tried_again(memory_bus: MemoryBus, clock: FakeClock) -> None:
    def first_joe(mail: Mail) -> Mapping[str, Outcome]:
        ann = Delivered(text="ok") if mail.attempt > 1 else Deferred(text="busy")
        return {a: ann if a == ANN else Delivered(text="ok") for a in mail.recipients}

    async with working(memory_bus, clock, first_joe) as rig:
        held = await rig.accept(to=(JOE, ANN))
        await rig.finished(await rig.send(held))
        again = await rig.store.read(held.key)
        assert again is not None
        await rig.finished(await rig.send(again))
        assert not await rig.store.exists(held.key)
    assert [mail.recipients for mail in rig.courier.given] == [(JOE, ANN), (ANN,)]
    assert [mail.attempt for mail in rig.courier.given] == [1, 2]


def broken(_mail: Mail) -> Mapping[str, Outcome]:
    raise ZeroDivisionError("a mistake of ours")


async def test_a_bug_in_the_courier_is_a_deferral(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with working(memory_bus, clock, broken) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert left is not None
    assert left.record.state is State.PENDING
    assert left.record.recipients[0].status == "4.3.0"
    assert "mistake" not in left.record.recipients[0].reply


async def test_a_bug_at_the_end_of_the_lifetime_bounces_nothing(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    """Promise 3. Should it fail: this deferral is a fault of ours, not of the destination."""
    async with working(memory_bus, clock, lambda _mail: {}) as rig:
        held = await rig.accept()
        clock.advance(WEEK + 1)
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert left is not None
    assert left.record.state is State.PENDING


async def test_a_body_with_a_hole_is_a_deferral(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept(body=b"x" * (INLINE_LIMIT + 1))
        await rig.store.forget_body("m")
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert left is not None
    assert left.record.recipients[0].status == "4.3.0"
    assert rig.courier.given == []


@pytest.mark.parametrize("redelivered", [False, True])
async def test_a_job_that_is_out_of_date_is_dropped_and_told(
    memory_bus: MemoryBus, clock: FakeClock, redelivered: bool
) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held, seq=held.seq + 5))
        assert rig.hints == [(held.key, held.seq + 5)]
        assert await rig.store.exists(held.key)
    assert rig.courier.given == []


async def test_a_record_in_another_state_is_not_delivered(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        await rig.store.settle(held, lambda r: dataclasses.replace(r, state=State.PARKED))
        parked = await rig.store.read(held.key)
        assert parked is not None
        await rig.finished(await rig.send(parked))
    assert rig.courier.given == []


async def test_what_is_no_record_is_left_to_the_owner(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        key = Key(0, "foreign", "0")
        seq = await memory_bus.append(key.record, b"x", headers={"Tubepost": "garbage"})
        await memory_bus.append(key.job("local"), str(seq).encode(), expect=0)
        await rig.finished(key.job("local"))
        assert await rig.store.exists(key)
    assert rig.courier.given == []


async def test_a_job_taken_while_the_bus_goes_away_comes_again(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        job = held.key.job("local")
        rig.courier.gate.clear()
        await rig.send(held)
        memory_bus.away = True
        await rig.quiet()
        memory_bus.away = False
        assert await memory_bus.read(subjects.DISPATCH, job) is not None
        rig.courier.gate.set()
        memory_bus.hand_out_again()
        await rig.finished(job)
        assert not await rig.store.exists(held.key)
    assert len(rig.courier.given) == 1


async def test_a_job_another_worker_still_holds_is_left_alone(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async def other_worker(_subject: str, _data: bytes) -> bytes:
        return json.dumps([["m", "0"]]).encode() if holds else b"[]"

    holds = True
    await memory_bus.answer(subjects.INFLIGHT_ANY, other_worker)
    lost = memory_bus.work("local", 1)
    async with contextlib.aclosing(lost):  # type: ignore[type-var]
        held = await MailStore(memory_bus, 2).accept(
            Envelope("s@x.y", (JOE,)), [HERE], b"x", mail_id="m", now=clock()
        )
        await memory_bus.append(held.job("local"), b"1", expect=0)
        await anext(lost)  # the other worker's
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        memory_bus.hand_out_again()
        await rig.quiet()
        assert rig.courier.given == []
        assert await memory_bus.read(subjects.DISPATCH, held.job("local")) is not None
        holds = False
        memory_bus.hand_out_again()
        await rig.finished(held.job("local"))
        assert not await rig.store.exists(held)
    assert len(rig.courier.given) == 1


async def test_a_job_this_worker_still_holds_is_not_done_twice(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, held_back=True) as rig:
        held = await rig.accept()
        await rig.send(held)
        await rig.handed_over(1)
        memory_bus.hand_out_again()
        await rig.quiet()
    assert len(rig.courier.given) == 1
    assert not await rig.store.exists(held.key)


async def test_it_says_what_it_holds(memory_bus: MemoryBus, clock: FakeClock) -> None:
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, held_back=True) as rig:
        held = await rig.accept()
        await rig.send(held)
        await rig.handed_over(1)
        mine, other = held.key.shard, 1 - held.key.shard
        assert json.loads(await memory_bus.ask(subjects.inflight(mine), b"")) == [["m", "0"]]
        assert json.loads(await memory_bus.ask(subjects.inflight(other), b"")) == []


async def test_no_more_deliveries_than_slots(memory_bus: MemoryBus, clock: FakeClock) -> None:
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, slots=3, held_back=True) as rig:
        for n in range(10):
            await rig.send(await rig.accept(f"m{n}"))
        await rig.handed_over(3)
        await rig.quiet()
        assert len(rig.courier.given) == 3
        rig.courier.gate.set()
        await rig.handed_over(10)
    assert rig.courier.most_at_once == 3


async def test_stopping_lets_deliveries_end_and_takes_no_more(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, held_back=True) as rig:
        first = await rig.accept("m1")
        await rig.send(first)
        await rig.handed_over(1)
        rig.stopping.set()
        await rig.quiet()
        second = await rig.accept("m2")
        await rig.send(second)
        await rig.quiet()
    assert [mail.key for mail in rig.courier.given] == [first.key]
    assert not await rig.store.exists(first.key)
    assert await rig.store.exists(second.key)
