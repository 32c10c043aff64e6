"""How a mail lies on the bus: accepted, read, settled, split and forgotten, on each adapter."""

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from typing import cast

import pytest

from tests.contracts.reading import reading, subjects_of, until_caught_up
from tubepost import lifecycle, mailstore, subjects
from tubepost.errors import StoreFull, Unavailable
from tubepost.mailstore import MailStore, MissingBody, new_mail_id, routes_in
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Bus, Stored
from tubepost.record import CHUNK, INLINE_LIMIT, Envelope, Held, Record, State, UnreadableRecord
from tubepost.routing import Route
from tubepost.subjects import Key

SHARDS = 2
NOW = 1_700_000_000.0
HERE = Route("local", "example.org")
THERE = Route("remote", "example.net")
JOE = "joe@example.org"
ID = "018bcfe56800000000abcd"


def octets(count: int) -> bytes:
    return random.Random(count).randbytes(count)


async def accepted(bus: Bus, body: bytes, *, mail_id: str = ID) -> tuple[MailStore, Key]:
    store = MailStore(bus, SHARDS)
    key = await store.accept(Envelope("a@b.c", (JOE,)), [HERE], body, mail_id=mail_id, now=NOW)
    return store, key


async def held(store: MailStore, key: Key) -> Held:
    found = await store.read(key)
    assert found is not None
    return found


def outcome(result: Outcome) -> Callable[[Record], Record]:
    """A change for `settle`: an attempt that gave every recipient this."""

    def change(record: Record) -> Record:
        outcomes = dict.fromkeys(record.waiting, result)
        return lifecycle.after_attempt(
            record, outcomes, began=NOW + 1, now=NOW + 2, lifetime=604_800
        )

    return change


async def stored_in(bus: Bus, stream: str) -> list[str]:
    async with reading(bus.follow(stream, ">")) as items:
        return subjects_of(await until_caught_up(items))


# --- accept


async def test_an_accepted_mail_is_read_back_whole(any_bus: Bus) -> None:
    body = bytes(range(256)) * 4
    store, key = await accepted(any_bus, body)
    mail = await held(store, key)
    assert mail.key == key
    assert mail.record == Record(
        state=State.PENDING,
        channel="local",
        destination="example.org",
        sender="a@b.c",
        recipients=mail.record.recipients,
        size=len(body),
        created=NOW,
        next_attempt=NOW,
    )
    assert mail.record.waiting == (JOE,)
    assert await store.body(mail) == body


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (0, 0),
        (INLINE_LIMIT, 0),
        (INLINE_LIMIT + 1, 1),
        (CHUNK, 1),
        (CHUNK + 1, 2),
        (2 * CHUNK, 2),
        (2 * CHUNK + 1, 3),
    ],
)
async def test_a_body_comes_back_exactly(any_bus: Bus, size: int, chunks: int) -> None:
    body = octets(size)
    store, key = await accepted(any_bus, body)
    mail = await held(store, key)
    assert (mail.record.size, mail.record.chunks) == (size, chunks)
    assert len(mail.payload) == (0 if chunks else size)
    assert await store.body(mail) == body
    assert len(await stored_in(any_bus, "MAIL")) == chunks


@pytest.mark.parametrize("size", [10, INLINE_LIMIT + 1])
async def test_accepting_again_stores_nothing_twice(any_bus: Bus, size: int) -> None:
    body = octets(size)
    store, key = await accepted(any_bus, body)
    _, again = await accepted(any_bus, body)
    assert again == key
    stream = subjects.queue_stream(key.shard)
    assert await stored_in(any_bus, stream) == [key.record]
    assert len(await stored_in(any_bus, "MAIL")) == (1 if size > INLINE_LIMIT else 0)
    assert await store.body(await held(store, key)) == body


async def test_several_recipients_of_one_destination_are_one_record(any_bus: Bus) -> None:
    names = tuple(f"u{n}@example.org" for n in range(50))
    store = MailStore(any_bus, SHARDS)
    key = await store.accept(Envelope("", names), [HERE] * 50, b"x", mail_id=ID, now=NOW)
    mail = await held(store, key)
    assert (key.unit, mail.record.state, mail.record.waiting) == ("0", State.PENDING, names)
    assert mail.record.sender == ""


@pytest.mark.parametrize(
    "routes", [[HERE, THERE], [HERE] * 51], ids=["two destinations", "51 recipients"]
)
async def test_what_has_to_be_split_keeps_its_body_in_chunks(
    any_bus: Bus, routes: list[Route]
) -> None:
    names = tuple(f"u{n}@{route.destination}" for n, route in enumerate(routes))
    body = octets(1000)
    store = MailStore(any_bus, SHARDS)
    key = await store.accept(Envelope("a@b.c", names), routes, body, mail_id=ID, now=NOW)
    mail = await held(store, key)
    assert (key.unit, mail.record.state) == (subjects.SPLIT_UNIT, State.SPLIT)
    assert (mail.record.count, mail.record.chunks) == (len(names), 1)
    assert mail.record.recipients == ()
    assert routes_in(mail.payload) == list(zip(names, routes, strict=True))
    assert await store.body(mail) == body


async def test_an_empty_body_that_has_to_be_split_comes_back_empty(any_bus: Bus) -> None:
    store = MailStore(any_bus, SHARDS)
    envelope = Envelope("a@b.c", (JOE, "x@example.net"))
    key = await store.accept(envelope, [HERE, THERE], b"", mail_id=ID, now=NOW)
    assert await store.body(await held(store, key)) == b""


def test_mail_ids_sort_by_time_and_differ() -> None:
    ids = [new_mail_id(NOW + n) for n in range(3)]
    assert sorted(ids) == ids
    assert len({new_mail_id(NOW) for _ in range(1000)}) == 1000
    assert {len(mail_id) for mail_id in ids} == {23}
    assert all(c in "0123456789abcdef" for mail_id in ids for c in mail_id)


# --- read


async def test_a_job_of_this_version_finds_the_record(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, b"x")
    seq = (await held(store, key)).seq
    for redelivered in (False, True):
        found = await store.read_for_job(key, seq, redelivered=redelivered)
        assert found is not None
        assert found.seq == seq


@pytest.mark.parametrize("redelivered", [False, True])
async def test_a_job_of_another_version_finds_nothing(any_bus: Bus, redelivered: bool) -> None:
    store, key = await accepted(any_bus, b"x")
    mail = await held(store, key)
    await store.settle(mail, outcome(Deferred(text="later")))
    assert await store.read_for_job(key, mail.seq, redelivered=redelivered) is None
    assert await store.read_for_job(key, mail.seq + 7, redelivered=redelivered) is None


@pytest.mark.parametrize("redelivered", [False, True])
async def test_a_job_of_a_mail_that_is_gone_finds_nothing(any_bus: Bus, redelivered: bool) -> None:
    store, key = await accepted(any_bus, b"x")
    mail = await held(store, key)
    await store.forget(mail)
    assert await store.read_for_job(key, mail.seq, redelivered=redelivered) is None
    assert not await store.exists(key)


async def test_what_is_no_record_raises_unreadable(any_bus: Bus) -> None:
    key = Key(0, "foreign", "0")
    await any_bus.append(key.record, b"hello", headers={"Other": "x"})
    with pytest.raises(UnreadableRecord):
        await MailStore(any_bus, SHARDS).read(key)


async def test_a_missing_chunk_raises_missing_body(any_bus: Bus) -> None:
    store, key = await accepted(any_bus, octets(CHUNK + 1))
    mail = await held(store, key)
    await any_bus.purge("MAIL", subjects.body_chunk(ID, 1))
    with pytest.raises(MissingBody, match=f"mail.{ID}.1"):
        await store.body(mail)


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


RECORD = Record(
    state=State.PENDING,
    channel="local",
    destination="example.org",
    sender="a@b.c",
    recipients=(mailstore.Recipient(JOE),),
    size=5,
    created=NOW,
    next_attempt=NOW,
)


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


class LosesAcks:
    """A bus whose next `lost` writes are stored, but the acknowledgement never comes."""

    def __init__(self, bus: Bus, lost: int) -> None:
        self._bus, self._lost = bus, lost
        self.read, self.purge, self.tell = bus.read, bus.purge, bus.tell

    async def append(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        msg_id: str | None = None,
        expect: int | None = None,
        replace: bool = False,
    ) -> int:
        seq = await self._bus.append(
            subject, data, headers=headers, msg_id=msg_id, expect=expect, replace=replace
        )
        if self._lost:
            self._lost -= 1
            raise Unavailable("no answer")
        return seq


def losing_acks(bus: Bus, lost: int = 1) -> Bus:
    return cast(Bus, LosesAcks(bus, lost))


async def test_our_own_write_is_recognised_where_its_ack_was_lost(
    any_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailstore, "PAUSE", 0.0)
    store, key = await accepted(any_bus, b"hello")
    mail = await held(store, key)
    new = await MailStore(losing_acks(any_bus), SHARDS).settle(
        mail, outcome(Deferred(text="busy"))
    )
    after = await held(store, key)
    assert new is not None
    assert (after.record, after.record.attempts, after.seq) == (new, 1, mail.seq + 1)


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


class Away:
    """A bus that stores nothing; `error` tells how."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.asked = 0

    async def append(self, subject: str, data: bytes = b"", **_: object) -> int:
        self.asked += 1
        raise self._error


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


# --- split mails


async def test_a_unit_is_created_once(any_bus: Bus) -> None:
    store = MailStore(any_bus, SHARDS)
    key = Key(1, ID, "u1")
    await store.create_unit(key, RECORD)
    await store.settle(await held(store, key), outcome(Deferred(text="busy")))
    await store.create_unit(key, RECORD)
    assert (await held(store, key)).record.attempts == 1


async def test_a_split_becomes_the_group_of_its_units(any_bus: Bus) -> None:
    store = MailStore(any_bus, SHARDS)
    envelope = Envelope("a@b.c", (JOE, "x@example.net"))
    key = await store.accept(envelope, [HERE, THERE], b"body", mail_id=ID, now=NOW)
    units = [Key(0, ID, "u0"), Key(1, ID, "u1")]
    await store.regroup(await held(store, key), units)
    group = await held(store, key)
    assert (group.record.state, group.record.count) == (State.GROUP, 2)
    assert json.loads(group.payload) == [[0, "u0"], [1, "u1"]]
    assert await store.body(group) == b"body"
    assert await stored_in(any_bus, subjects.queue_stream(key.shard)) == [key.record]


async def test_forget_body_removes_every_chunk_of_this_mail(any_bus: Bus) -> None:
    await accepted(any_bus, octets(2 * CHUNK))
    store, other = await accepted(any_bus, octets(INLINE_LIMIT + 1), mail_id=ID + "0")
    await store.forget_body(ID)
    assert await stored_in(any_bus, "MAIL") == [subjects.body_chunk(ID + "0", 0)]
    assert await store.body(await held(store, other)) == octets(INLINE_LIMIT + 1)


def test_a_stored_message_becomes_a_held_record() -> None:
    header = mailstore.record.encode(RECORD)
    stored = Stored("q.1.m.u2", 9, {"Tubepost": header}, b"body")
    assert mailstore.held(stored) == Held(Key(1, "m", "u2"), 9, RECORD, b"body")
