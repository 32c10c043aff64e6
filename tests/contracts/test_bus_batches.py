"""Several messages at once, all or none: what tubepost.ports.Bus.append_all promises."""

import asyncio

import pytest
from nats.js.api import StreamConfig

from tests.contracts.reading import reading, until_caught_up
from tests.fakes import MemoryBus
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.errors import Conflict, StoreFull, Unavailable
from tubepost.mailstore import patiently
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus, Write

STREAM = subjects.bucket_stream(subjects.DIRECTORY)
EVERY = subjects.bucket_key(subjects.DIRECTORY, ">")


def write(key: str, data: bytes = b"x", expect: int | None = None) -> Write:
    return Write(subjects.bucket_key(subjects.DIRECTORY, key), data, {"By": key}, expect)


def new(count: int) -> list[Write]:
    return [write(f"k{n}", b"%d" % n, 0) for n in range(count)]


async def stored(bus: Bus) -> list[tuple[str, int, bytes]]:
    """Key, sequence and data of all there is."""
    async with reading(bus.follow(STREAM, EVERY)) as items:
        found = await until_caught_up(items)
    return [(item.subject.rpartition(".")[2], item.seq, item.data) for item in found]


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
async def test_all_are_stored_in_order_and_the_last_sequence_comes_back(
    any_bus: Bus, count: int
) -> None:
    first = await any_bus.append(EVERY.replace(">", "before"))
    assert await any_bus.append_all(new(count)) == first + count
    found = (await stored(any_bus))[1:]
    assert found == [(f"k{n}", first + 1 + n, b"%d" % n) for n in range(count)]


async def test_headers_are_kept(any_bus: Bus) -> None:
    await any_bus.append_all(new(2))
    for key in ("k0", "k1"):
        found = await any_bus.read(STREAM, subjects.bucket_key(subjects.DIRECTORY, key))
        assert found is not None
        assert found.headers["By"] == key


@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_one_expectation_that_does_not_hold_and_none_is_stored(
    any_bus: Bus, wrong: int
) -> None:
    there = await any_bus.append_all(new(3))
    before = await stored(any_bus)
    writes = [write(f"k{n}", b"new", there - 2 + n) for n in range(3)]
    writes[wrong] = write(f"k{wrong}", b"new", there + 1)
    with pytest.raises(Conflict):
        await any_bus.append_all(writes)
    assert await stored(any_bus) == before


async def test_expectations_that_hold_may_be_of_any_kind(any_bus: Bus) -> None:
    there = await any_bus.append_all(new(2))
    writes = [write("k1", b"", there), write("k0", b"whatever was there"), write("k2", b"2", 0)]
    assert await any_bus.append_all(writes) == there + 3


async def test_of_two_at_once_one_wins_as_a_whole(any_bus: Bus) -> None:
    """They share one key, in another place."""
    ours = [write("a", b"ours", 0), write("both", b"ours", 0)]
    theirs = [write("both", b"theirs", 0), write("b", b"theirs", 0)]
    results = await asyncio.gather(
        any_bus.append_all(ours), any_bus.append_all(theirs), return_exceptions=True
    )
    assert [type(result) for result in results if result != 2] == [Conflict]
    assert len({data for _, _, data in await stored(any_bus)}) == 1
    assert len(await stored(any_bus)) == 2


async def test_many_at_once_all_are_stored(any_bus: Bus) -> None:
    batches = [[write(f"{n}-{m}", b"x", 0) for m in range(3)] for n in range(100)]
    lasts = await asyncio.gather(*map(any_bus.append_all, batches))
    found = {key: seq for key, seq, _ in await stored(any_bus)}
    for n, last in enumerate(lasts):
        assert [found[f"{n}-{m}"] for m in range(3)] == [last - 2, last - 1, last]


async def test_one_that_is_repeated_after_its_answer_was_lost_is_a_conflict(any_bus: Bus) -> None:
    """The caller looks: what is there is what it wrote."""
    await any_bus.append_all(new(3))
    before = await stored(any_bus)
    with pytest.raises(Conflict):
        await any_bus.append_all(new(3))
    assert await stored(any_bus) == before


async def test_where_a_member_is_of_another_stream_none_is_stored(any_bus: Bus) -> None:
    elsewhere = Write(subjects.bucket_key(subjects.CONTROL, "x"))
    with pytest.raises(Unavailable):
        await any_bus.append_all([write("a"), elsewhere, write("b")])
    assert await stored(any_bus) == []
    assert await any_bus.read("KV_control", elsewhere.subject, leader=True) is None


async def test_where_a_member_is_of_no_stream_none_is_stored(any_bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await any_bus.append_all([write("a"), Write("$KV.nowhere.x"), write("b")])
    assert await stored(any_bus) == []


async def test_a_bus_that_is_away_is_unavailable(memory_bus: MemoryBus) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await memory_bus.append_all(new(2))
    memory_bus.away = False
    assert await stored(memory_bus) == []


async def test_a_full_store_takes_none_in_memory(memory_bus: MemoryBus) -> None:
    memory_bus.full = True
    with pytest.raises(StoreFull):
        await memory_bus.append_all(new(2))
    assert await stored(memory_bus) == []


# --- what only a real server shows


async def limited(bus: NatsBus, **limits: int | bool) -> None:
    js = bus.client.jetstream()
    config: StreamConfig = (await js.stream_info(STREAM)).config
    for name, value in limits.items():
        setattr(config, name, value)
    await js.update_stream(config)


async def test_a_store_that_has_room_for_some_of_them_takes_none(bus: NatsBus) -> None:
    await bus.append_all(new(3))
    before = await stored(bus)
    info = await bus.client.jetstream().stream_info(STREAM)
    await limited(bus, max_bytes=info.state.bytes + 300)
    with pytest.raises(StoreFull):
        await bus.append_all([write("a"), write("b", b"x" * 500), write("c")])
    assert await stored(bus) == before
    await limited(bus, max_bytes=-1)
    await bus.append_all([write("a"), write("b", b"x" * 500), write("c")])


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_member_that_the_server_refuses_ends_all(bus: NatsBus, place: int) -> None:
    await limited(bus, max_msg_size=300)
    writes = new(3)
    writes[place] = write("big", b"x" * 400)
    with pytest.raises(Unavailable, match=r"10054|10176"):  # too big; batch is incomplete
        await bus.append_all(writes)
    assert await stored(bus) == []


async def test_more_than_the_server_takes_at_once_are_unavailable(bus: NatsBus) -> None:
    with pytest.raises(Unavailable, match="10199"):  # batch is too large
        await bus.append_all(new(1001))
    assert await stored(bus) == []


async def test_a_bucket_of_an_earlier_release_is_unavailable_until_it_is_up_to_date(
    bus: NatsBus,
) -> None:
    """services/popauth may be newer than the scheduler that has not been updated yet."""
    with pytest.raises(Unavailable, match="10174"):  # atomic publish is disabled
        await bus.append_all(
            [Write(subjects.bucket_key(subjects.CONTROL, key)) for key in ("a", "b")]
        )


@pytest.mark.usefixtures("short_calls")
async def test_a_server_that_dies_under_them_has_all_or_none_of_each(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    """Those whose answer came are there; of the others each is there or not, as a whole."""
    stored_for_sure: list[int] = []

    async def write_all() -> None:
        for n in range(10_000):
            await bus.append_all([write(f"{n}-{m}", b"x", 0) for m in range(20)])
            stored_for_sure.append(n)
            if n == 20:
                enough.set()

    enough = asyncio.Event()
    writing = asyncio.create_task(write_all())
    await enough.wait()
    nats_server.kill()
    with pytest.raises(Unavailable):
        await writing
    nats_server.start()
    await patiently(lambda: bus.append(EVERY.replace(">", "back")), None)
    found: dict[str, int] = {}
    for key, _, _ in (await stored(bus))[:-1]:
        found[key.split("-")[0]] = found.get(key.split("-")[0], 0) + 1
    assert set(found.values()) == {20}
    assert set(map(str, stored_for_sure)) <= set(found)
    assert len(found) <= len(stored_for_sure) + 1
