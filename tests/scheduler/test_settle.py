"""What the owner does to records, on the real bus: split, group's end, bodies removed."""

import pytest

from tests.fakes import FakeClock
from tests.scheduler.queue_rig import BODY, FAILED, SHARDS, Queue
from tubepost import lifecycle, subjects
from tubepost.mailstore import MissingBody
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Delivered, Outcome
from tubepost.record import INLINE_LIMIT, Record, State
from tubepost.retry import Rules
from tubepost.subjects import Key


@pytest.fixture
def queue(bus: NatsBus, clock: FakeClock) -> Queue:
    return Queue(bus, clock)


THREE = ("joe@example.org", "ann@far.example", "bob@far.example", "eve@other.example")


async def test_a_mail_for_several_destinations_is_split_and_its_body_stays_once(
    queue: Queue,
) -> None:
    key = await queue.accept(*THREE)
    await queue.settler.settle(key)
    *units, group = await queue.all()
    assert (group.key, group.record.state, group.record.count) == (key, State.GROUP, 3)
    found = [(u.record.channel, u.record.destination, u.record.waiting) for u in units]
    assert found == [
        ("local", "example.org", ("joe@example.org",)),
        ("remote", "far.example", ("ann@far.example", "bob@far.example")),
        ("remote", "other.example", ("eve@other.example",)),
    ]
    assert {u.record.state for u in units} == {State.PENDING}
    assert {u.record.group for u in units} == {key.shard}
    assert [await queue.store.body(u) for u in units] == [BODY] * 3
    assert await queue.chunks() == 1


async def test_units_are_where_their_destination_s_owner_looks(queue: Queue) -> None:
    await queue.settler.settle(await queue.accept(*THREE))
    for unit in (await queue.all())[:-1]:
        record = unit.record
        expected = subjects.shard_of(record.channel, record.destination, "m1", SHARDS)
        assert unit.key.shard == expected


async def test_a_split_whose_recipients_are_lost_is_parked(queue: Queue) -> None:
    names = [f"{n:060}@{'far' if n % 2 else 'other'}.example" for n in range(12_000)]
    key = await queue.accept(*names)
    await queue.bus.purge(subjects.MAIL, subjects.body_chunk(key.mail_id, 1))
    with pytest.raises(MissingBody):
        await queue.settler.settle(key)
    assert await queue.settler.park(key, "its recipients are lost")
    left = await queue.store.read(key)
    assert left
    assert left.record.state is State.PARKED


async def test_what_has_only_to_be_removed_is_not_parked(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    await queue.settler.settle(key)
    assert not await queue.settler.park(key, "why")
    assert await queue.settler.park(Key(0, "nobody", "0"), "it is gone")


async def test_a_warning_that_fails_parks_no_mail(queue: Queue) -> None:
    key = await queue.accept("ann@far.example")
    before = await queue.all()
    assert await queue.settler.park(key, "settling failed 5 times")
    assert await queue.all() == before


async def cut_off(queue: Queue) -> Key:
    """A split whose owner died after the units were made; the first one is delivered since."""
    key = await queue.accept(*THREE)
    split = await queue.store.read(key)
    assert split
    units = lifecycle.split(split.record, key.shard, await queue.store.routes(split))
    for number, unit in enumerate(units):
        shard = subjects.shard_of(unit.channel, unit.destination, key.mail_id, SHARDS)
        await queue.store.create_unit(Key(shard, key.mail_id, str(number)), unit)
    first = (await queue.all())[0]
    await queue.attempt(first.key, Delivered(text="did_1+0+0/"))
    return key


async def test_a_split_that_was_cut_off_goes_on_without_making_a_unit_twice(queue: Queue) -> None:
    key = await cut_off(queue)
    await queue.settler.settle(key)
    assert [h.key.unit for h in await queue.all()] == ["1", "2", subjects.SPLIT_UNIT]


async def test_no_unit_goes_out_before_its_mail_is_split_to_the_end(queue: Queue) -> None:
    """Else a killed server, which forgets the ids of what is gone, would have it made again."""
    key = await cut_off(queue)
    units = [held for held in await queue.all() if held.key != key]
    assert [await queue.settler.may_go_out(unit) for unit in units] == [False, False]
    await queue.settler.settle(key)
    assert [await queue.settler.may_go_out(unit) for unit in units] == [True, True]


async def test_no_unit_goes_out_while_its_mail_is_parked_half_split(queue: Queue) -> None:
    """Else its release would have units that are gone made, and sent, again."""
    key = await cut_off(queue)
    assert await queue.settler.park(key, "splitting failed")
    units = [held for held in await queue.all() if held.key != key]
    assert [await queue.settler.may_go_out(unit) for unit in units] == [False, False]


async def test_a_group_that_is_there_already_is_no_error(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    split = await queue.store.read(key)
    assert split
    await queue.settler.settle(key)
    await queue.settler._split(split)


async def test_a_group_ends_with_its_last_unit_and_takes_the_body_along(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    await queue.settler.settle(key)
    *units, _ = await queue.all()
    for unit in units:
        await queue.settler.settle(key)
        assert await queue.chunks() == 1, "a unit still needs the body"
        await queue.attempt(unit.key, Delivered(text="ok"))
    await queue.settler.settle(key)
    assert await queue.all() == []
    assert await queue.chunks() == 0


async def test_a_big_mail_ends_with_its_body_removed(queue: Queue) -> None:
    body = BODY + b"x" * INLINE_LIMIT * 4 + b"\r\n"
    key = await queue.accept("ann@far.example", body=body)
    assert await queue.chunks() == 2
    await queue.attempt(key, Delivered(text="ok"))
    [done] = await queue.all()
    assert done.record.state is State.DONE
    await queue.settler.settle(key)
    assert await queue.all() == []
    assert await queue.chunks() == 0


async def test_nothing_happens_to_what_is_pending_or_gone(queue: Queue) -> None:
    key = await queue.accept("ann@far.example")
    before = await queue.all()
    await queue.settler.settle(key)
    await queue.settler.settle(Key(0, "nobody", "0"))
    assert await queue.all() == before


# --- what is told


async def test_a_split_and_the_end_of_its_group_are_told(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    await queue.settler.settle(key)
    *units, _ = await queue.all()
    for unit in units:
        await queue.attempt(unit.key, Delivered(text="ok"))
    queue.clock.advance(7)
    await queue.settler.settle(key)
    assert queue.told.events == [
        {
            "event": "split",
            "mail": "m1",
            "units": [
                ["0", "local", "example.org"],
                ["1", "remote", "far.example"],
                ["2", "remote", "other.example"],
            ],
            "count": 3,
        },
        {"event": "ended", "mail": "m1", "unit": "S", "seconds": 7},
    ]


async def test_a_bounce_its_acceptance_and_the_end_are_told(queue: Queue) -> None:
    key = await queue.accept("ann@far.example")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    accepted, bounced, ended = queue.told.events
    assert (accepted["event"], accepted["mail"]) == ("accepted", "m1b0n0")
    assert (accepted["bounce_of"], accepted["source"]) == ("m1", "bounce")
    assert (accepted["sender"], accepted["recipients"]) == ("", ["joe@example.org"])
    [made] = await queue.all()
    assert (accepted["size"], accepted["at"]) == (made.record.size, made.record.created)
    about = {"event": "bounced", "mail": "m1", "unit": "0", "bounce": "m1b0n0"}
    assert bounced == {**about, "kind": "single", "to": "joe@example.org"}
    assert (ended["event"], ended["mail"]) == ("ended", "m1")


async def test_a_triple_bounce_is_told_and_is_the_end(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", sender="#@[]")
    await queue.attempt(key, FAILED)
    await queue.settler.settle(key)
    bounced, ended = queue.told.events
    assert (bounced["kind"], bounced["bounce"], bounced["to"]) == ("triple", "", "")
    assert ended["event"] == "ended"


async def test_the_end_of_a_unit_is_not_the_end_of_its_mail(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    await queue.settler.settle(key)
    *units, _ = await queue.all()
    await queue.attempt(units[0].key, FAILED)
    await queue.settler.settle(units[0].key)
    assert queue.told_of("m1") == ["split", "bounced"]


async def test_while_somebody_waits_a_bounce_is_not_the_end(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", "bob@far.example")
    held = await queue.store.read(key)
    assert held

    def change(record: Record) -> Record:
        outcomes: dict[str, Outcome] = {"ann@far.example": FAILED}
        now = queue.clock()
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await queue.store.settle(held, change)
    await queue.settler.settle(key)
    assert queue.told_of("m1") == ["bounced"]


async def test_an_end_that_the_attempt_has_told_is_not_told_again(queue: Queue) -> None:
    key = await queue.accept("ann@far.example", body=BODY + b"x" * INLINE_LIMIT + b"\r\n")
    await queue.attempt(key, Delivered(text="ok"))
    await queue.settler.settle(key)
    assert await queue.all() == []
    assert queue.told.events == []


async def test_a_record_that_is_parked_is_told(queue: Queue) -> None:
    key = await queue.accept(*THREE)
    assert await queue.settler.park(key, "no body")
    about = {"event": "parked", "mail": "m1", "unit": "S", "why": "no body"}
    assert queue.told.events == [about]
