"""How a mail lies on the bus: accepted, read, split and forgotten, on each adapter."""

import pytest

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
from tubepost import record, subjects
from tubepost.mailstore import MailStore, MissingBody, new_mail_id
from tubepost.mailstore import held as held_of
from tubepost.outcome import Deferred
from tubepost.ports import Bus, Stored
from tubepost.record import (
    CHUNK,
    INLINE_LIMIT,
    Envelope,
    Held,
    Recipient,
    Record,
    State,
    UnreadableRecord,
)
from tubepost.routing import Route
from tubepost.subjects import Key

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
    assert await store.routes(mail) == [
        (Recipient(name), route) for name, route in zip(names, routes, strict=True)
    ]
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
    assert not await store.read(key)


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
    await store.regroup(await held(store, key), 2)
    group = await held(store, key)
    assert (group.record.state, group.record.count) == (State.GROUP, 2)
    assert await store.body(group) == b"body"
    assert await stored_in(any_bus, subjects.queue_stream(key.shard)) == [key.record]


async def test_a_unit_of_a_mail_is_left_until_the_last_one_is_forgotten(any_bus: Bus) -> None:
    store = MailStore(any_bus, SHARDS)
    envelope = Envelope("a@b.c", (JOE, "x@example.net"))
    await store.accept(envelope, [HERE, THERE], b"body", mail_id=ID, now=NOW)
    units = [Key(0, ID, "0"), Key(1, ID, "1")]
    for key in (*units, Key(1, ID + "0", "0")):
        await store.create_unit(key, RECORD)
    for key in units:
        assert await store.units_left(ID)
        await store.forget(await held(store, key))
    assert not await store.units_left(ID)


async def test_more_recipients_than_fit_a_message_are_kept(any_bus: Bus) -> None:
    names = tuple(f"{n:060}@example.net" for n in range(12_000))
    store = MailStore(any_bus, SHARDS)
    routes = [THERE] * len(names)
    key = await store.accept(Envelope("a@b.c", names), routes, b"body", mail_id=ID, now=NOW)
    mail = await held(store, key)
    assert await store.routes(mail) == [(Recipient(name), THERE) for name in names]
    assert await store.body(mail) == b"body"
    await store.forget_body(ID)
    assert await stored_in(any_bus, "MAIL") == []


async def test_forget_body_removes_every_chunk_of_this_mail(any_bus: Bus) -> None:
    await accepted(any_bus, octets(2 * CHUNK))
    store, other = await accepted(any_bus, octets(INLINE_LIMIT + 1), mail_id=ID + "0")
    await store.forget_body(ID)
    assert await stored_in(any_bus, "MAIL") == [subjects.body_chunk(ID + "0", 0)]
    assert await store.body(await held(store, other)) == octets(INLINE_LIMIT + 1)


def test_a_stored_message_becomes_a_held_record() -> None:
    header = record.encode(RECORD)
    stored = Stored("q.1.m.u2", 9, {"Tubepost": header}, b"body")
    assert held_of(stored) == Held(Key(1, "m", "u2"), 9, RECORD, b"body")


# --- VERP


async def test_a_list_s_mail_for_several_is_split_though_they_share_a_destination(
    any_bus: Bus,
) -> None:
    store = MailStore(any_bus, SHARDS)
    envelope = Envelope("list-@b.c-@[]", (JOE, "ann@example.org"))
    key = await store.accept(envelope, [HERE, HERE], b"hello", mail_id=ID, now=NOW)
    assert (await held(store, key)).record.state is State.SPLIT
    one = Envelope("list-@b.c-@[]", (JOE,))
    key = await store.accept(one, [HERE], b"hello", mail_id=ID[::-1], now=NOW)
    assert (await held(store, key)).record.state is State.PENDING


async def test_the_head_of_a_mail_is_its_first_chunk(any_bus: Bus) -> None:
    body = octets(CHUNK * 2)
    store, key = await accepted(any_bus, body)
    assert await store.head(await held(store, key)) == body[:CHUNK]
    store, key = await accepted(any_bus, b"hello", mail_id=ID[::-1])
    assert await store.head(await held(store, key)) == b"hello"
