"""Outcomes as the store writes them, and writes whose acknowledgement is lost, on each adapter."""

import dataclasses
from typing import cast

import pytest

from tests.contracts.lossy import Away, losing_acks
from tests.contracts.mails import (
    HERE,
    ID,
    JOE,
    NOW,
    RECORD,
    SHARDS,
    THERE,
    accepted,
    held,
    octets,
    outcome,
    stored_in,
)
from tubepost import lifecycle, mailstore, subjects
from tubepost.errors import StoreFull, Unavailable
from tubepost.mailstore import IllegalChange, MailStore
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Bus
from tubepost.record import CHUNK, INLINE_LIMIT, Envelope, Recipient, State
from tubepost.subjects import Key

# --- settle


@pytest.mark.parametrize("size", [10, INLINE_LIMIT + 1])
async def test_a_delivered_mail(any_bus: Bus, size: int) -> None:
    """An inline one is gone. One with chunks is stored as done: its owner removes them first."""
    store, key = await accepted(any_bus, octets(size))
    new = await store.settle(await held(store, key), outcome(Delivered(text="ok")))
    assert new is not None
    assert new.state is State.DONE
    left = await store.read(key)
    if size <= INLINE_LIMIT:
        assert left is None
    else:
        assert left is not None
        assert left.record == new
        assert await store.body(left) == octets(size)


async def test_what_changes_nothing_is_not_written(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"hello")
    mail = await held(store, key)
    assert await store.settle(mail, lambda record: record) == mail.record
    assert (await held(store, key)).seq == mail.seq


async def test_the_end_of_a_mail_is_told_to_the_owner(memory_bus: Bus) -> None:
    heard: list[tuple[Key, int]] = []

    async def hear(_subject: str, data: bytes) -> None:
        heard.append(subjects.parse_hint(data))

    await memory_bus.answer(subjects.DONE_HINT_ANY, hear)
    store, key = await accepted(memory_bus, b"x")
    mail = await held(store, key)
    await store.settle(mail, outcome(Delivered(text="ok")))
    assert heard == [(key, mail.seq)]


@pytest.mark.parametrize("result", [Deferred(text="busy"), Failed(text="no")])
async def test_what_is_not_over_is_written_with_its_body(any_bus: Bus, result: Outcome) -> None:
    body = octets(INLINE_LIMIT)
    store, key = await accepted(any_bus, body)
    before = await held(store, key)
    new = await store.settle(before, outcome(result))
    after = await held(store, key)
    assert after.record == new
    assert after.record.attempts == 1
    assert after.record.state is (State.PENDING if isinstance(result, Deferred) else State.BOUNCE)
    assert after.seq > before.seq
    assert await store.body(after) == body
    assert await stored_in(any_bus, subjects.queue_stream(key.shard)) == [key.record]


async def test_a_unit_of_a_group_is_purged_when_done(any_bus: Bus) -> None:
    store, _ = await accepted(any_bus, octets(INLINE_LIMIT + 1))
    unit = dataclasses.replace(RECORD, chunks=1, group=1)
    key = Key(0, ID, "u1")
    await store.create_unit(key, unit)
    await store.settle(await held(store, key), outcome(Delivered(text="ok")))
    assert await store.read(key) is None
    assert await any_bus.read("MAIL", subjects.body_chunk(ID, 0), leader=True) is not None


async def test_somebody_elses_change_is_kept_under_ours(any_bus: Bus) -> None:
    """An operator changed the record during the attempt: the outcome is made on what is there."""
    store, key = await accepted(any_bus, b"hello")
    ours = await held(store, key)
    await store.settle(ours, lambda r: dataclasses.replace(r, next_attempt=NOW + 9, attempts=5))
    new = await store.settle(ours, outcome(Deferred(text="busy")))
    assert new is not None
    assert new.attempts == 6
    after = await held(store, key)
    assert after.record == new
    assert after.payload == b"hello"


async def test_a_delivery_ends_the_mail_whoever_changed_it_meanwhile(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"hello")
    ours = await held(store, key)
    await store.settle(ours, lambda r: dataclasses.replace(r, next_attempt=NOW))
    await store.settle(ours, outcome(Delivered(text="ok")))
    assert await store.read(key) is None


async def test_an_outcome_for_a_record_that_is_gone_is_dropped(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"hello")
    ours = await held(store, key)
    await any_bus.purge(subjects.queue_stream(key.shard), key.record)
    assert await store.settle(ours, outcome(Deferred(text="busy"))) is None
    assert await store.read(key) is None


async def test_our_own_write_is_recognised_where_its_ack_was_lost(
    any_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailstore, "PAUSE", 0.0)
    store, key = await accepted(any_bus, b"hello")
    mail = await held(store, key)
    new = await MailStore(losing_acks(any_bus), SHARDS).settle(mail, outcome(Deferred(text="busy")))
    after = await held(store, key)
    assert new is not None
    assert (after.record, after.record.attempts, after.seq) == (new, 1, mail.seq + 1)


async def test_a_change_the_table_does_not_have_is_not_stored(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"x")
    mail = await held(store, key)
    with pytest.raises(IllegalChange, match="pending -> group"):
        await store.settle(mail, lambda r: dataclasses.replace(r, state=State.GROUP))
    assert await held(store, key) == mail


async def split_mail(bus: Bus) -> tuple[MailStore, Key]:
    store = MailStore(bus, SHARDS)
    envelope = Envelope("a@b.c", (JOE, "x@example.net"))
    return store, await store.accept(envelope, [HERE, THERE], b"body", mail_id=ID, now=NOW)


async def test_a_split_that_is_parked_keeps_its_recipients(any_bus: Bus) -> None:
    store, key = await split_mail(any_bus)
    mail = await held(store, key)
    await store.settle(mail, lambda r: lifecycle.parked(r, "why"))
    parked = await held(store, key)
    assert parked.record.state is State.PARKED
    assert await store.routes(parked) == [
        (Recipient(JOE), HERE),
        (Recipient("x@example.net"), THERE),
    ]


# --- acknowledgements that do not come


async def test_a_group_whose_ack_was_lost_is_a_group(
    any_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailstore, "PAUSE", 0.0)
    store, key = await split_mail(any_bus)
    mail = await held(store, key)
    await MailStore(losing_acks(any_bus), SHARDS).regroup(mail, 1)
    assert (await held(store, key)).record.state is State.GROUP


async def test_accept_is_repeated_where_an_ack_was_lost(
    any_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailstore, "PAUSE", 0.0)
    body = octets(CHUNK + 1)
    _, key = await accepted(losing_acks(any_bus, 3), body)
    store = MailStore(any_bus, SHARDS)
    assert await store.body(await held(store, key)) == body
    assert await stored_in(any_bus, subjects.queue_stream(key.shard)) == [key.record]
    assert len(await stored_in(any_bus, "MAIL")) == 2


async def test_accept_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailstore, "PAUSE", 0.01)
    patience = mailstore.patiently.__defaults__
    monkeypatch.setattr(mailstore.patiently, "__defaults__", (0.05,))
    assert patience == (mailstore.PATIENCE,)
    away = Away(Unavailable("no answer"))
    with pytest.raises(Unavailable):
        await accepted(cast(Bus, away), b"x")
    assert away.asked > 1


async def test_a_full_store_is_not_waited_for() -> None:
    away = Away(StoreFull("full"))
    with pytest.raises(StoreFull):
        await accepted(cast(Bus, away), b"x")
    assert away.asked == 1


async def test_a_change_that_changes_nothing_is_not_written(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"x")
    mail = await held(store, key)
    assert await store.settle(mail, lambda record: record) == mail.record
    assert (await held(store, key)).seq == mail.seq


@pytest.mark.parametrize("size", [10, CHUNK + 1])
async def test_a_body_in_pieces(any_bus: Bus, size: int) -> None:
    store, key = await accepted(any_bus, octets(size))
    pieces = [piece async for piece in store.pieces(await held(store, key))]
    assert b"".join(pieces) == octets(size)
    assert len(pieces) == (1 if size < CHUNK else 2)
