"""What an operator does to mails: each action, each refusal, many mails, beside owners that run."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from services.scheduler import actions as module
from services.scheduler.actions import Order
from services.scheduler.filters import Filter
from tests.fakes import FakeClock, MemoryBus
from tests.scheduler.desk import BODY, FAR, Desk, at_work
from tubepost import lifecycle, subjects
from tubepost.errors import BadInput, NotFound, Unavailable
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Bus
from tubepost.record import INLINE_LIMIT, Fate, Note, Record, State, encode
from tubepost.retry import Rules
from tubepost.subjects import REMOTE, Key

BIG = b"Subject: big\r\n\r\n" + b"x" * INLINE_LIMIT


@pytest.fixture(params=["memory_bus", "bus"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def desk(any_bus: Bus, clock: FakeClock) -> AsyncIterator[Desk]:
    async with at_work(any_bus, clock) as desk:
        yield desk


async def attempt(desk: Desk, key: Key, outcome: Outcome) -> None:
    """What a worker does at the end of a delivery."""
    held, now = await desk.read(key), desk.clock()
    outcomes = dict.fromkeys(held.record.waiting, outcome)

    def change(record: Record) -> Record:
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await desk.store.settle(held, change)


async def park(desk: Desk, key: Key) -> None:
    await desk.store.settle(
        await desk.read(key), lambda r: lifecycle.parked(r, "a piece is missing")
    )


async def test_hold_and_release(desk: Desk) -> None:
    key = await desk.accept("m1")
    with capture_logs() as lines:
        done = await desk.do("hold", "m1")
    assert (done.matched, done.changed, done.unchanged) == (1, 1, [])
    held = await desk.read(key)
    note = Note("joe", "because", desk.clock())
    assert (held.record.state, held.record.note, held.payload) == (State.HELD, note, BODY)
    said = {"event": "queue.action", "action": "hold", "mail_id": "m1", "unit": "0"}
    assert [line for line in lines if line["event"] == "queue.action"] == [
        {**said, "actor": "joe", "reason": "because", "log_level": "info"}
    ]
    [event] = desk.told.events
    assert (event["event"], event["mail"], event["action"]) == ("operator", "m1", "hold")
    assert (event["unit"], event["actor"], event["why"]) == ("0", "joe", "because")
    desk.clock.advance(60)
    assert (await desk.do("release", "m1")).changed == 1
    record = (await desk.read(key)).record
    assert (record.state, record.next_attempt) == (State.PENDING, desk.clock())


async def test_a_bounce_goes_to_the_sender_at_once(desk: Desk) -> None:
    key = await desk.accept("m1")
    await attempt(desk, key, Deferred(text="451 later", status="4.2.0"))
    assert (await desk.do("bounce", "m1")).changed == 1
    await desk.until(lambda: desk.remembered(key) is None)
    bounce = next(k for owner in desk.owners.values() for k in owner.shard.units)
    assert bounce.mail_id.startswith("m1b0")
    body = (await desk.read(bounce)).payload.decode()
    assert "451 later/" + module.RETURNED in body
    assert "because" not in body


@pytest.mark.parametrize("body", [BODY, BIG])
async def test_delete_leaves_nothing_behind(desk: Desk, body: bytes) -> None:
    key = await desk.accept("m1", body=body)
    assert (await desk.do("delete", "m1")).changed == 1
    assert await desk.store.read(key) is None
    assert await desk.bodies() == []
    await desk.until(lambda: desk.remembered(key) is None)
    assert [event["event"] for event in desk.told.events] == ["ended", "operator"]


async def test_rejuvenate(desk: Desk) -> None:
    key = await desk.accept("m1")
    desk.clock.advance(1000)
    await attempt(desk, key, Deferred(text="later"))
    desk.clock.advance(1000)
    assert (await desk.do("rejuvenate", "m1")).changed == 1
    record = (await desk.read(key)).record
    now = desk.clock()
    assert (record.attempts, record.next_attempt, record.clock_start) == (0, now, now)
    assert record.created == now - 2000
    assert record.recipients[0].reply == "later"


async def test_a_held_mail_may_be_rejuvenated_and_stays_held(desk: Desk) -> None:
    key = await desk.accept("m1")
    await desk.do("hold", "m1")
    assert (await desk.do("rejuvenate", "m1")).changed == 1
    assert (await desk.read(key)).record.state is State.HELD


async def test_flush_writes_nothing(desk: Desk) -> None:
    key = await desk.accept("m1")
    await attempt(desk, key, Deferred(text="later"))
    before = await desk.read(key)
    await desk.until(lambda: desk.remembered(key) == replace(before, payload=b""))
    owner = desk.owners[key.shard]
    assert (await desk.do("flush", "m1")).changed == 1
    assert await desk.read(key) == before
    await desk.until(lambda: owner.shard.ready(REMOTE) == 1)
    desk.limits = replace(desk.limits, channel={"local": 1, "remote": 1})
    owner.wake()
    await desk.until(lambda: key in owner.shard.out)
    done = await desk.do("flush", "m1")
    assert (done.changed, [left["id"] for left in done.unchanged]) == (0, ["m1"])


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("release", "it is not held"),
        ("fly", None),
    ],
)
async def test_what_a_waiting_mail_refuses(desk: Desk, action: str, why: str | None) -> None:
    await desk.accept("m1")
    if why is None:
        with pytest.raises(BadInput, match="'fly' is nothing to do with a mail; do: flush, delete"):
            await desk.do(action, "m1")
        return
    done = await desk.do(action, "m1")
    assert (done.changed, done.unchanged) == (0, [{"id": "m1", "unit": "0", "why": why}])


async def test_what_a_held_and_a_parked_mail_refuse(desk: Desk) -> None:
    key = await desk.accept("m1")
    await desk.do("hold", "m1")
    assert (await desk.do("hold", "m1")).unchanged[0]["why"] == "it is held already"
    await desk.do("release", "m1")
    await park(desk, key)
    for action in ("hold", "rejuvenate"):
        [left] = (await desk.do(action, "m1")).unchanged
        assert left["why"] == "it is parked: release, bounce or delete it"
    assert (await desk.do("release", "m1")).changed == 1
    assert (await desk.read(key)).record.state is State.PENDING


async def test_an_unknown_mail(desk: Desk) -> None:
    for mail_id in ("m1", "*", "a.b", ">", ""):
        with pytest.raises(
            NotFound, match=r"there is no mail .* in the queue; see: tubepost qread"
        ):
            await desk.do("delete", mail_id)


async def test_all_units_of_a_split_mail(desk: Desk) -> None:
    first, second, whole = await desk.split("m1")
    done = await desk.do("hold", "m1")
    assert (done.matched, done.changed) == (2, 2)
    for key in (first, second):
        assert (await desk.read(key)).record.state is State.HELD
    assert (await desk.do("delete", "m1")).changed == 2
    await desk.until(lambda: desk.remembered(whole) is None)
    assert await desk.store.keys_of("m1") == []
    assert await desk.bodies() == []


async def test_a_mail_that_could_not_be_split(desk: Desk) -> None:
    """What was made of it before goes with it: its body is gone."""
    first, _, whole = await desk.split("m1")
    held = await desk.read(whole)
    half = replace(held.record, state=State.PARKED)
    await desk.bus.append(whole.record, b"[]", headers={"Tubepost": encode(half)}, replace=True)
    [left] = [u for u in (await desk.do("bounce", "m1")).unchanged if u["unit"] == "S"]
    assert left["why"] == "it could not be split into its destinations: release or delete it"
    done = await desk.actions.on_matching(
        Order("delete", desk.note()), Filter(state="parked"), f"{desk.clock()}~{whole.shard}~"
    )
    assert done.changed == 1
    assert await desk.store.keys_of("m1") == []
    await desk.until(lambda: desk.remembered(first) is None)


async def test_what_cannot_be_read(desk: Desk) -> None:
    bad = Key(1, "bad", "0")
    await desk.bus.append(bad.record, b"?", headers={"Tubepost": "not json"})
    owner = desk.owners[1]
    await desk.until(lambda: bad in owner.unreadable)
    [left] = (await desk.do("release", "bad")).unchanged
    assert left["why"].startswith("it cannot be read: not a queue record: JSONDecodeError")
    assert (await desk.do("delete", "bad")).changed == 1
    assert await desk.bus.read(subjects.queue_stream(1), bad.record, leader=True) is None
    await desk.until(lambda: bad not in owner.unreadable)


async def test_only_what_matches(desk: Desk) -> None:
    far = [await desk.accept(f"m{n}") for n in range(3)]
    other = await desk.accept("n1", "bob@other.example")
    await attempt(desk, other, Failed(text="no"))
    done = await desk.do_all("hold", Filter(domain="far.example"))
    assert (done.matched, done.changed) == (3, 3)
    assert {(await desk.read(key)).record.state for key in far} == {State.HELD}
    done = await desk.do_all("release", Filter(state="held"))
    assert done.changed == 3


async def test_everything_in_slices_and_nothing_that_comes_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE", 2)
    keys = [await desk.accept(f"m{n}", f"x@{n}.example") for n in range(7)]
    order = Order("hold", desk.note())
    first = await desk.actions.on_matching(order, Filter(), "")
    assert first.matched <= 2
    assert first.next
    desk.clock.advance(1)
    late = await desk.accept("z")
    total = first.changed
    going_on: str | None = first.next
    while going_on is not None:
        done = await desk.actions.on_matching(order, Filter(), going_on)
        total, going_on = total + done.changed, done.next
    assert total == 7
    assert {(await desk.read(key)).record.state for key in keys} == {State.HELD}
    assert (await desk.read(late)).record.state is State.PENDING


async def test_flush_of_all_that_matches(desk: Desk) -> None:
    keys = [await desk.accept(f"m{n}") for n in range(3)]
    for key in keys:
        await attempt(desk, key, Deferred(text="later"))
    owner = desk.owners[keys[0].shard]
    await desk.until(lambda: [h.record.attempts for h in owner.shard.units.values()] == [1, 1, 1])
    with capture_logs() as lines:
        done = await desk.do_all("flush", Filter(domain="far.example"))
    assert (done.matched, done.changed) == (3, 3)
    assert [(line["action"], line["mail_id"]) for line in lines] == [("flush", "")]
    await desk.until(lambda: owner.shard.ready(REMOTE) == 3)


@pytest.mark.parametrize("cursor", ["x", "1~2", "1.0~9~", "a~b~c"])
async def test_a_cursor_that_is_none(desk: Desk, cursor: str) -> None:
    with pytest.raises(BadInput, match="is not a cursor of this queue"):
        await desk.actions.on_matching(Order("hold", desk.note()), Filter(), cursor)


async def test_a_memory_that_is_behind_is_put_right(desk: Desk) -> None:
    """The owner still lists what is gone: the leader's word counts, and the owner learns it."""
    key = await desk.accept("m1")
    await desk.bus.purge(subjects.queue_stream(key.shard), key.record)
    assert desk.remembered(key) is not None
    done = await desk.do_all("hold", Filter())
    assert done.unchanged == [{"id": "m1", "unit": "0", "why": "it is no longer in the queue"}]
    await desk.until(lambda: desk.remembered(key) is None)


async def test_a_bus_that_is_away_is_told(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    bus = MemoryBus(clock)
    async with at_work(bus, clock) as desk:
        key = await desk.accept("m1")
        bus.away = True
        with pytest.raises(Unavailable):
            await desk.actions._apply(Order("hold", desk.note()), [key])


# --- a worker at the same time


@pytest.mark.parametrize(
    ("action", "outcome", "state"),
    [
        ("hold", Deferred(text="later"), State.HELD),
        ("hold", Delivered(text="ok"), None),
        ("hold", Failed(text="no"), State.BOUNCE),
        ("delete", Deferred(text="later"), None),
        ("delete", Failed(text="no"), None),
        ("delete", Delivered(text="ok"), None),
        ("rejuvenate", Deferred(text="later"), State.PENDING),
    ],
)
async def test_what_is_done_during_a_delivery(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    outcome: Outcome,
    state: State | None,
) -> None:
    """The worker read the record before, and writes after the operator."""
    key = await desk.accept("m1")
    before, now = await desk.read(key), desk.clock()
    assert (await desk.do(action, "m1")).changed == 1
    outcomes = {FAR: outcome}

    def change(record: Record) -> Record:
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    desk.settle_nothing(monkeypatch)
    await desk.store.settle(before, change)
    left = await desk.store.read(key)
    assert (left.record.state if left else None) is state


async def test_a_deferral_says_nothing_of_a_mail_given_up_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await desk.accept("m1")
    before, now = await desk.read(key), desk.clock()
    desk.settle_nothing(monkeypatch)
    await desk.do("bounce", "m1")
    outcomes = {FAR: Deferred(text="later")}

    def change(record: Record) -> Record:
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await desk.store.settle(before, change)
    record = (await desk.read(key)).record
    assert (record.state, record.recipients[0].fate) == (State.BOUNCE, Fate.FAILED)
    assert record.recipients[0].reply == module.RETURNED


async def test_a_worker_was_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's change is made on what the worker wrote: it does not apply any more."""
    key = await desk.accept("m1")
    before = await desk.read(key)
    desk.settle_nothing(monkeypatch)
    await attempt(desk, key, Failed(text="no"))
    why = await desk.actions._settle(Order("hold", desk.note()), before)
    assert why == "its bounce is being made"
    await desk.store.forget(before)
    assert await desk.actions._settle(Order("hold", desk.note()), before) == module.GONE
