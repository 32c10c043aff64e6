"""What a worker tells of its deliveries, by itself and in the worker's loop."""

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import FakeClock, MemoryBus
from tests.tubepost.telling import Told
from tests.tubepost.worker_rig import ANN, JOE, WEEK, everyone, working
from tubepost import lifecycle, retry, subjects
from tubepost.attempts import LONG, Attempts
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import INLINE_LIMIT, Held, Recipient, Record, State
from tubepost.retry import Rules
from tubepost.subjects import Key

KEY = Key(1, "m", "2")
RECORD = Record(
    state=State.PENDING,
    channel="remote",
    destination="x.y",
    sender="s@x.y",
    recipients=(Recipient(JOE), Recipient(ANN)),
    size=1,
    created=1_700_000_000.0,
    next_attempt=1_700_000_000.0,
)
HELD = Held(KEY, 7, RECORD)
RULES = Rules(WEEK)


def stored(clock: FakeClock, outcomes: dict[str, Outcome], held: Held = HELD) -> dict[str, Any]:
    """The event of an attempt that took 2 s."""
    told, began = Told(), clock()
    clock.advance(2)
    new = lifecycle.after_attempt(
        held.record, outcomes, began=began, now=clock(), rules=Rules(WEEK)
    )
    Attempts(told, clock).stored(held, outcomes, new, began=began, now=clock())
    [event] = told.events
    return event


def test_an_attempt_has_what_came_of_each_recipient(clock: FakeClock) -> None:
    began = clock()
    outcomes: dict[str, Outcome] = {
        JOE: Delivered(text="ok", peer="192.0.2.1"),
        ANN: Deferred(
            text="busy", status="4.2.1", kind="rate_limited", phase="rcpt", seconds=1.50004
        ),
    }
    assert stored(clock, outcomes) == {
        "event": "attempt",
        "mail": "m",
        "at": began + 2,
        "unit": "2",
        "channel": "remote",
        "destination": "x.y",
        "attempt": 1,
        "began": began,
        "seconds": 2.0,
        "recipients": [
            {
                "address": JOE,
                "outcome": "success",
                "status": "2.0.0",
                "text": "ok",
                "peer": "192.0.2.1",
            },
            {
                "address": ANN,
                "outcome": "deferral",
                "status": "4.2.1",
                "text": "busy",
                "seconds": 1.5,
                "kind": "rate_limited",
                "phase": "rcpt",
            },
        ],
        "state": "pending",
        "next_attempt": RULES.next_attempt(RECORD.created, began + 2, "remote", 1),
        "group": False,
    }


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Delivered(text="ok"), "done"), (Failed(text="no", status="5.1.1"), "bounce")],
)
def test_where_nobody_waits_there_is_no_next_attempt(
    clock: FakeClock, outcome: Outcome, state: str
) -> None:
    event = stored(clock, {JOE: outcome, ANN: outcome})
    assert (event["state"], event["next_attempt"]) == (state, None)


def test_a_deferral_that_was_the_last_is_a_failure(clock: FakeClock) -> None:
    clock.advance(WEEK + 1)
    event = stored(clock, {JOE: Deferred(text="busy"), ANN: Delivered(text="ok")})
    [joe, ann] = event["recipients"]
    assert (joe["outcome"], joe["text"]) == ("failure", f"busy/{retry.EXPIRED}")
    assert ann["outcome"] == "success"
    assert event["state"] == "bounce"


def test_a_unit_of_a_split_mail_says_so(clock: FakeClock) -> None:
    unit = replace(HELD, record=replace(RECORD, group=0))
    assert stored(clock, {JOE: Delivered(text="ok")}, unit)["group"] is True


def test_a_record_that_somebody_removed_meanwhile_is_gone(clock: FakeClock) -> None:
    told = Told()
    outcomes = {JOE: Delivered(text="ok")}
    Attempts(told, clock).stored(HELD, outcomes, None, began=clock(), now=clock())
    assert (told.events[0]["state"], told.events[0]["next_attempt"]) == ("gone", None)


def test_a_long_delivery_is_told_of_once_while_it_runs(clock: FakeClock) -> None:
    told = Told()
    attempts, began = Attempts(told, clock), clock()
    attempts.begins(HELD, began)
    clock.advance(LONG / 2)
    attempts.begins(replace(HELD, key=Key(1, "younger", "0")), clock())
    clock.advance(LONG / 2)
    attempts.tell_of_long_ones()
    attempts.tell_of_long_ones()
    assert told.events == [
        {
            "event": "started",
            "mail": "m",
            "unit": "2",
            "channel": "remote",
            "destination": "x.y",
            "attempt": 1,
            "began": began,
            "recipients": (JOE, ANN),
        }
    ]


def test_a_delivery_that_is_over_is_not_told_of_as_running(clock: FakeClock) -> None:
    told = Told()
    attempts = Attempts(told, clock)
    attempts.begins(HELD, clock())
    attempts.over(KEY)
    clock.advance(LONG)
    attempts.tell_of_long_ones()
    assert told.events == []


async def test_the_worker_tells_of_each_attempt(memory_bus: MemoryBus, clock: FakeClock) -> None:
    told = Told()
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, events=told) as rig:
        await rig.finished(await rig.send(await rig.accept()))
    assert [(e["event"], e["state"]) for e in told.events] == [("attempt", "done")]


async def test_the_worker_tells_of_a_mail_that_it_sets_aside(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    told = Told()
    says = everyone(Delivered(text="ok"))
    async with working(memory_bus, clock, says, events=told) as rig:
        held = await rig.accept(body=b"x" * (INLINE_LIMIT + 1))
        await memory_bus.purge(subjects.MAIL, "mail.>")
        await rig.finished(await rig.send(held))
    [event] = told.events
    assert (event["event"], event["mail"], event["unit"]) == ("parked", "m", "0")
    assert "mail.m.0" in event["why"]


async def test_a_delivery_that_hangs_shows_in_the_worker(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    told = Told()
    says = everyone(Deferred(text="busy"))
    async with working(memory_bus, clock, says, held_back=True, events=told) as rig:
        job = await rig.send(await rig.accept())
        await rig.handed_over(1)
        clock.advance(LONG)
        rig.worker._attempts.tell_of_long_ones()
        assert [event["event"] for event in told.events] == ["started"]
        rig.courier.gate.set()
        await rig.finished(job)
        clock.advance(LONG)
        rig.worker._attempts.tell_of_long_ones()
    assert [event["event"] for event in told.events] == ["started", "attempt"]
    assert told.events[0]["began"] == told.events[1]["began"]
