"""What tubepost.ports.Bus promises, on each adapter."""

import asyncio

import pytest

from tests.contracts.reading import PATIENCE, reading, rounds, subjects_of, until_caught_up
from tests.fakes import FakeClock
from tubepost import subjects
from tubepost.errors import Conflict, Unavailable
from tubepost.ports import Bus, CaughtUp, Stored
from tubepost.provision import HISTORY

QUEUE, EVERY = "QUEUE_0", "q.0.*.*"
MAIL_A = "q.0.a.0"
MAIL_B = "q.0.b.0"
JOB = "d.local.0.a.0"


# --- append


async def test_sequences_grow_within_a_stream(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1")
    second = await any_bus.append(MAIL_B, b"2")
    assert 0 < first < second


async def test_streams_count_for_themselves(any_bus: Bus) -> None:
    assert await any_bus.append("q.0.a.0") == await any_bus.append("q.1.a.0") == 1


async def test_a_subject_that_no_stream_stores_is_unavailable(any_bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await any_bus.append("q.999.a.0", b"x")


async def test_a_repeated_msg_id_is_stored_once(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1", msg_id="m")
    assert await any_bus.append(MAIL_A, b"1", msg_id="m") == first
    other = await any_bus.append(MAIL_A, b"2", msg_id="n")
    assert other == first + 1


async def test_a_msg_id_is_remembered_after_its_message_is_gone(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1", msg_id="m")
    await any_bus.purge(QUEUE, MAIL_A)
    assert await any_bus.append(MAIL_A, b"1", msg_id="m") == first
    assert await any_bus.read(QUEUE, MAIL_A, leader=True) is None


async def test_expect_zero_means_none_there(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1", expect=0)
    with pytest.raises(Conflict):
        await any_bus.append(MAIL_A, b"2", expect=0)
    await any_bus.append(MAIL_B, b"another subject", expect=0)


async def test_expect_is_the_sequence_of_the_subjects_last_message(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_B, b"elsewhere")
    second = await any_bus.append(MAIL_A, b"2", expect=first)
    with pytest.raises(Conflict):
        await any_bus.append(MAIL_A, b"3", expect=first)
    found = await any_bus.read(QUEUE, MAIL_A, leader=True)
    assert found is not None
    assert (found.seq, found.data) == (second, b"2")


async def test_expect_zero_holds_again_after_a_purge(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    await any_bus.purge(QUEUE, MAIL_A)
    assert await any_bus.append(MAIL_A, b"2", expect=0) == 2


async def test_without_replace_the_queue_keeps_older_messages(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_A, b"2")
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        assert [s.data for s in await until_caught_up(items)] == [b"1", b"2"]


async def test_replace_ends_older_messages_of_its_subject_only(any_bus: Bus) -> None:
    await any_bus.append(MAIL_B, b"stays")
    first = await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_A, b"2", expect=first, replace=True)
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        assert [s.data for s in await until_caught_up(items)] == [b"stays", b"2"]


async def test_a_replace_that_conflicts_changes_nothing(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    with pytest.raises(Conflict):
        await any_bus.append(MAIL_A, b"2", expect=99, replace=True)
    found = await any_bus.read(QUEUE, MAIL_A, leader=True)
    assert found is not None
    assert found.data == b"1"


async def test_a_bucket_keeps_the_last_value_of_a_key(any_bus: Bus) -> None:
    await any_bus.append("$KV.control.x", b"old")
    await any_bus.append("$KV.control.x", b"new")
    async with reading(any_bus.follow("KV_control", "$KV.control.x")) as items:
        assert [s.data for s in await until_caught_up(items)] == [b"new"]


async def test_the_directory_keeps_the_last_changes_of_a_key(any_bus: Bus) -> None:
    """Who changed what: the oldest goes when there are more."""
    changes = [b"%d" % n for n in range(HISTORY + 3)]
    await any_bus.append("$KV.directory.y", b"of another key")
    for change in changes:
        last = await any_bus.append("$KV.directory.x", change)
    async with reading(any_bus.follow("KV_directory", "$KV.directory.x")) as items:
        assert [s.data for s in await until_caught_up(items)] == changes[3:]
    found = await any_bus.read("KV_directory", "$KV.directory.x", leader=True)
    assert found is not None
    assert (found.seq, found.data) == (last, changes[-1])


async def test_a_message_with_a_time_to_live_ends(any_bus: Bus, clock: FakeClock) -> None:
    lease = subjects.lease(0)
    await any_bus.append(lease, b"me", expect=0, ttl=1)
    with pytest.raises(Conflict):
        await any_bus.append(lease, b"you", expect=0, ttl=1)
    clock.advance(1)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await any_bus.append(lease, b"you", expect=0, ttl=30)
            except Conflict:
                await asyncio.sleep(0.05)  # the server tells nobody of the end
            else:
                break
    found = await any_bus.read("KV_leases", lease, leader=True)
    assert found is not None
    assert found.data == b"you"


# --- read and purge


@pytest.mark.parametrize("leader", [True, False])
async def test_read_gives_the_last_message_binary_exact(any_bus: Bus, leader: bool) -> None:
    data = bytes(range(256)) + b"\r\n.\r\n"
    await any_bus.append(MAIL_A, b"older")
    seq = await any_bus.append(MAIL_A, data, headers={"Tubepost": '{"s":"a: b"}'})
    found = await any_bus.read(QUEUE, MAIL_A, leader=leader)
    assert found is not None
    assert (found.subject, found.seq, found.data) == (MAIL_A, seq, data)
    assert found.headers["Tubepost"] == '{"s":"a: b"}'


@pytest.mark.parametrize("leader", [True, False])
async def test_read_of_nothing_is_none(any_bus: Bus, leader: bool) -> None:
    await any_bus.append(MAIL_B, b"another")
    assert await any_bus.read(QUEUE, MAIL_A, leader=leader) is None


@pytest.mark.parametrize("leader", [True, False])
async def test_an_empty_message_is_not_none(any_bus: Bus, leader: bool) -> None:
    seq = await any_bus.append(MAIL_A)
    found = await any_bus.read(QUEUE, MAIL_A, leader=leader)
    assert found is not None
    assert (found.seq, found.data) == (seq, b"")


@pytest.mark.parametrize("leader", [True, False])
async def test_read_of_a_stream_that_is_not_there_is_unavailable(
    any_bus: Bus, leader: bool
) -> None:
    with pytest.raises(Unavailable):
        await any_bus.read("QUEUE_999", "q.999.a.0", leader=leader)


async def test_the_leader_reads_the_last_of_several_subjects(any_bus: Bus) -> None:
    await any_bus.append("mail.a.1", b"1")
    await any_bus.append("mail.a.0", b"0")
    await any_bus.append("mail.b.0", b"another")
    found = await any_bus.read("MAIL", subjects.body("a"), leader=True)
    assert found is not None
    assert (found.subject, found.data) == ("mail.a.0", b"0")
    assert await any_bus.read("MAIL", subjects.body("c"), leader=True) is None


async def test_what_is_stored_says_when(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_B, b"2")
    read = [await any_bus.read(QUEUE, MAIL_A, leader=leader) for leader in (True, False)]
    later = await any_bus.read(QUEUE, MAIL_B, leader=True)
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        first, second = await until_caught_up(items)
    assert later is not None
    assert [one.at for one in read if one] == pytest.approx([first.at] * 2, abs=1e-5)
    assert later.at == pytest.approx(second.at, abs=1e-5)
    assert 1.6e9 < first.at <= second.at


async def test_purge_removes_one_subject(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_A, b"2")
    await any_bus.append(MAIL_B, b"stays")
    await any_bus.purge(QUEUE, MAIL_A)
    assert await any_bus.read(QUEUE, MAIL_A, leader=True) is None
    assert await any_bus.read(QUEUE, MAIL_B, leader=True) is not None


async def test_purge_takes_wildcards(any_bus: Bus) -> None:
    for index in range(3):
        await any_bus.append(subjects.body_chunk("a", index), b"x", msg_id=f"{index}")
    await any_bus.append(subjects.body_chunk("ab", 0), b"stays")
    await any_bus.purge("MAIL", subjects.body("a"))
    async with reading(any_bus.follow("MAIL", "mail.>")) as items:
        assert subjects_of(await until_caught_up(items)) == ["mail.ab.0"]


async def test_purge_through_spares_what_is_newer(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1")
    second = await any_bus.append(MAIL_A, b"2")
    await any_bus.purge(QUEUE, MAIL_A, through=first)
    found = await any_bus.read(QUEUE, MAIL_A, leader=True)
    assert found is not None
    assert found.seq == second
    await any_bus.purge(QUEUE, MAIL_A, through=second)
    assert await any_bus.read(QUEUE, MAIL_A, leader=True) is None


async def test_purge_of_nothing_is_no_error(any_bus: Bus) -> None:
    await any_bus.purge(QUEUE, MAIL_A, through=7)
    await any_bus.purge(QUEUE, MAIL_A)
    assert await any_bus.append(MAIL_A, b"1", expect=0) == 1


# --- subjects


async def test_subjects_are_those_that_match_each_once_in_order(any_bus: Bus) -> None:
    for subject in ("q.0.b.1", "q.0.b.0", "q.0.ab.0", "q.0.b.0", "q.0.b.S"):
        await any_bus.append(subject, b"x")
    assert await any_bus.subjects(QUEUE, "q.0.b.*") == ["q.0.b.0", "q.0.b.1", "q.0.b.S"]
    assert len(await any_bus.subjects(QUEUE, EVERY)) == 4
    assert await any_bus.subjects(QUEUE, MAIL_B) == [MAIL_B]


async def test_subjects_of_what_is_gone_are_not_there(any_bus: Bus) -> None:
    assert await any_bus.subjects(QUEUE, EVERY) == []
    await any_bus.append(MAIL_A, b"x")
    await any_bus.append(MAIL_B, b"x")
    await any_bus.purge(QUEUE, MAIL_A)
    assert await any_bus.subjects(QUEUE, EVERY) == [MAIL_B]
    await any_bus.purge(QUEUE, MAIL_B)
    assert await any_bus.subjects(QUEUE, EVERY) == []


async def test_subjects_of_a_stream_that_is_not_there_is_unavailable(any_bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await any_bus.subjects("QUEUE_999", "q.999.*.*")


# --- follow


async def test_follow_of_nothing_is_caught_up_at_once(any_bus: Bus) -> None:
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        assert await items.next() == CaughtUp()
        await any_bus.append(MAIL_A, b"later")
        later = await items.next()
    assert isinstance(later, Stored)
    assert (later.subject, later.seq, later.data) == (MAIL_A, 1, b"later")


async def test_follow_gives_all_in_order_then_caught_up_then_what_comes(any_bus: Bus) -> None:
    names = [f"q.0.m{n}.0" for n in range(600)]
    await asyncio.gather(*(any_bus.append(name, b"x") for name in names[:300]))
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        stored = await until_caught_up(items)
        assert [s.seq for s in stored] == list(range(1, 301))
        assert sorted(subjects_of(stored)) == sorted(names[:300])
        for name in names[300:]:
            await any_bus.append(name, b"x")
        assert subjects_of(await items.take(300)) == names[300:]


async def test_caught_up_comes_once(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"1")
    async with reading(any_bus.follow(QUEUE, EVERY)) as items:
        await until_caught_up(items)
        await any_bus.append(MAIL_B, b"2")
        assert isinstance(await items.next(), Stored)
        await any_bus.append(MAIL_B, b"3")
        assert isinstance(await items.next(), Stored)
        await rounds(any_bus)
        assert items.waiting == 0


async def test_follow_after_a_sequence(any_bus: Bus) -> None:
    first = await any_bus.append(MAIL_A, b"1")
    await any_bus.append(MAIL_B, b"2")
    async with reading(any_bus.follow(QUEUE, EVERY, after=first)) as items:
        assert subjects_of(await until_caught_up(items)) == [MAIL_B]


async def test_follow_after_the_end_is_caught_up_at_once(any_bus: Bus) -> None:
    last = await any_bus.append(MAIL_A, b"1")
    async with reading(any_bus.follow(QUEUE, EVERY, after=last)) as items:
        assert await items.next() == CaughtUp()


async def test_follow_takes_only_its_subject(any_bus: Bus) -> None:
    await any_bus.append("$KV.control.me", b"1")
    await any_bus.append("$KV.control.sub.me", b"2")
    async with reading(any_bus.follow("KV_control", "$KV.control.*")) as items:
        assert subjects_of(await until_caught_up(items)) == ["$KV.control.me"]


async def test_headers_only_has_no_data(any_bus: Bus) -> None:
    await any_bus.append(MAIL_A, b"body", headers={"Tubepost": "stored"})
    async with reading(any_bus.follow(QUEUE, EVERY, headers_only=True)) as items:
        (stored,) = await until_caught_up(items)
        await any_bus.append(MAIL_B, b"body", headers={"Tubepost": "later"})
        later = await items.next()
    assert isinstance(later, Stored)
    assert (stored.data, stored.headers["Tubepost"]) == (b"", "stored")
    assert (later.data, later.headers["Tubepost"]) == (b"", "later")


async def test_two_follow_at_once(any_bus: Bus) -> None:
    async with (
        reading(any_bus.follow(QUEUE, EVERY)) as one,
        reading(any_bus.follow(QUEUE, EVERY)) as two,
    ):
        await until_caught_up(one)
        await until_caught_up(two)
        await any_bus.append(MAIL_A, b"x")
        assert await one.next() == await two.next()


async def test_count_is_what_the_stream_holds(any_bus: Bus) -> None:
    assert await any_bus.count("QUEUE_0") == 0
    for n in range(3):
        await any_bus.append(f"q.0.m{n}.0", b"x")
    await any_bus.append("q.0.m0.0", b"y", replace=True, expect=1)
    await any_bus.purge("QUEUE_0", "q.0.m1.0")
    assert await any_bus.count("QUEUE_0") == 2
