"""The worker's loop: what becomes of a job, whatever the courier and the bus do."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.fakes import FakeClock, MemoryBus
from tests.tubepost.worker_rig import ANN, JOE, WEEK, everyone, working
from tubepost import delivery, subjects
from tubepost.delivery import Mail
from tubepost.errors import Unavailable
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import INLINE_LIMIT, Envelope, Fate, State, Wish
from tubepost.subjects import Key


async def test_a_delivered_mail_leaves_the_queue(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        assert not await rig.store.read(held.key)
        assert rig.hints == [(held.key, held.seq)]
    assert rig.courier.given == [
        Mail(held.key, "s@x.y", (JOE,), "x.y", b"hello", 1, held.record.created)
    ]


async def test_what_was_not_delivered_gets_its_kind(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with working(memory_bus, clock, everyone(Failed(text="no", status="5.1.1"))) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert left is not None
    assert [r.kind for r in left.record.recipients] == ["unknown_user"]


async def test_a_big_body_reaches_the_courier(memory_bus: MemoryBus, clock: FakeClock) -> None:
    body = bytes(range(256)) * (INLINE_LIMIT // 256) + b"more"
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept(body=body)
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
        assert left is not None
        assert left.record.state is State.DONE
    assert rig.courier.given[0].body == body


async def test_the_courier_learns_what_the_sender_wants_to_be_told(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    wish = Wish("SUCCESS", "rfc822;j@old.example")
    envelope = Envelope("s@x.y", (JOE, ANN), {JOE: wish}, ret="HDRS", envid="id", smtputf8=True)
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept_as(envelope)
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    [given] = rig.courier.given
    assert (given.wishes, given.ret, given.envid) == ({JOE: wish}, "HDRS", "id")
    assert given.smtputf8
    assert left is not None
    assert [r.fate for r in left.record.recipients] == [Fate.UNCONFIRMED, Fate.DELIVERED]


async def test_a_list_s_mail_has_a_sender_for_its_recipient(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with working(memory_bus, clock, everyone(Failed(text="no"))) as rig:
        held = await rig.accept_as(Envelope("list-@x.y-@[]", (JOE,)))
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert rig.courier.given[0].sender == "list-joe=x.y@x.y"
    assert left is not None
    assert left.record.sender == "list-@x.y-@[]", "what bounces goes to list-@x.y"


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
        assert not await rig.store.read(held.key)
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


async def test_a_body_with_a_hole_parks_the_mail(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept(body=b"x" * (INLINE_LIMIT + 1))
        await rig.store.forget_body("m")
        await rig.finished(await rig.send(held))
        left = await rig.store.read(held.key)
    assert left is not None
    assert (left.record.state, left.record.waiting) == (State.PARKED, (JOE,))
    assert "mail.m.0" in left.record.recipients[0].reply
    assert rig.courier.given == []


@pytest.mark.parametrize("suspect", [False, True])
async def test_a_job_that_is_out_of_date_is_dropped_and_told(
    memory_bus: MemoryBus, clock: FakeClock, suspect: bool
) -> None:
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held, seq=held.seq + 5, suspect=suspect))
        assert rig.hints == [(held.key, held.seq + 5)]
        assert await rig.store.read(held.key)
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
        await memory_bus.append(key.job("local"), subjects.job(seq), expect=0)
        await rig.finished(key.job("local"))
        assert await memory_bus.read("QUEUE_0", key.record, leader=True)
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
        assert not await rig.store.read(held.key)
    assert len(rig.courier.given) == 1


@dataclass
class OtherWorker:
    """Another worker on the same bus, that says it holds mail `m`, or nothing."""

    holds: bool

    async def answer(self, _subject: str, _data: bytes) -> bytes:
        return json.dumps([["m", "0"]] if self.holds else []).encode()


async def test_a_suspect_job_is_left_alone_while_another_worker_holds_it(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    other = OtherWorker(holds=True)
    await memory_bus.answer(subjects.INFLIGHT_ANY, other.answer)
    async with working(memory_bus, clock, everyone(Delivered(text="ok"))) as rig:
        held = await rig.accept()
        job = await rig.send(held, suspect=True)
        await rig.quiet()
        assert rig.courier.given == []
        assert await memory_bus.read(subjects.DISPATCH, job) is not None
        other.holds = False
        memory_bus.hand_out_again()
        await rig.finished(job)
        assert not await rig.store.read(held.key)
    assert len(rig.courier.given) == 1


async def test_the_courier_learns_that_an_earlier_try_may_have_delivered(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    later = {JOE: Deferred(text="later")}
    async with working(memory_bus, clock, lambda _: later) as rig:
        held = await rig.accept()
        await rig.finished(await rig.send(held))
        tried = await rig.store.read(held.key)
        assert tried
        await rig.finished(await rig.send(tried))
        other = await rig.accept("other")
        await rig.finished(await rig.send(other, suspect=True))
    told = [(mail.key.mail_id, mail.attempt, mail.suspect) for mail in rig.courier.given]
    assert told == [("m", 1, False), ("m", 2, True), ("other", 1, True)]


async def test_a_repeated_job_is_left_alone_while_another_worker_holds_it(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    def bus_away_at_first(mail: Mail) -> Mapping[str, Outcome]:
        if len(rig.courier.given) == 1:
            raise Unavailable("the directory did not answer")
        return everyone(Delivered(text="ok"))(mail)

    other = OtherWorker(holds=True)
    await memory_bus.answer(subjects.INFLIGHT_ANY, other.answer)
    async with working(memory_bus, clock, bus_away_at_first) as rig:
        job = await rig.send(await rig.accept())
        await rig.handed_over(1)  # a first delivery asks nobody
        memory_bus.hand_out_again()
        await rig.quiet()
        assert len(rig.courier.given) == 1
        assert await memory_bus.read(subjects.DISPATCH, job) is not None
        other.holds = False
        memory_bus.hand_out_again()
        await rig.finished(job)
    assert len(rig.courier.given) == 2


async def test_a_job_shows_signs_of_life_while_it_is_worked_on(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SIGN_OF_LIFE", 0.0)
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, held_back=True) as rig:
        await rig.send(await rig.accept())
        await rig.handed_over(1)

        async def alive() -> bool:
            return memory_bus.signs_of_life >= 3

        await rig.until(alive)


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
    assert not await rig.store.read(held.key)


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
    assert not await rig.store.read(first.key)
    assert await rig.store.read(second.key)


async def test_the_courier_learns_what_earlier_tries_have_done(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    outcomes = {JOE: Deferred(text="busy", done=("store",)), ANN: Deferred(text="busy")}
    async with working(memory_bus, clock, lambda _mail: outcomes) as rig:
        held = await rig.accept(to=(JOE, ANN))
        await rig.finished(await rig.send(held))
        waiting = await rig.store.read(held.key)
        assert waiting is not None
        await rig.finished(await rig.send(waiting))
    assert [mail.done for mail in rig.courier.given] == [{}, {JOE: ("store",)}]
