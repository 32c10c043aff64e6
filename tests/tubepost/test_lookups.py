"""Values that are read when they are asked for, kept, and kept up to date."""

import asyncio

import pytest

from tests.fakes import MemoryBus
from tests.nats_server import NatsServer
from tests.tubepost.lookups_rig import (
    KEY,
    OTHER,
    PATIENCE,
    Found,
    Replica,
    pair,
    put,
    put_and_seen,
    running,
)
from tubepost import lookups, subjects
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket
from tubepost.mailstore import patiently
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus
from tubepost.tasks import background


@pytest.fixture(params=["memory", "nats"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    name = {"memory": "memory_bus", "nats": "bus"}[request.param]
    found: Bus = request.getfixturevalue(name)
    return found


@pytest.fixture
def replica() -> Replica:
    return Replica()


async def test_what_was_there_is_found_and_what_changes_is_heard(any_bus: Bus) -> None:
    await put(any_bus, KEY, b"1")
    async with running(any_bus) as found:
        assert await found.get(KEY) == (KEY, b"1")
        await put_and_seen(any_bus, found, KEY, b"2")
        assert await found.get(KEY) == (KEY, b"2")


async def test_none_is_kept_until_there_is_one_and_again_when_it_is_gone(any_bus: Bus) -> None:
    async with running(any_bus) as found:
        for _ in range(2):
            assert await found.get(KEY) is None
            await put_and_seen(any_bus, found, KEY, b"1")
            assert await found.get(KEY) == (KEY, b"1")
            await put_and_seen(any_bus, found, KEY, b"")
        assert await found.get(KEY) is None


async def test_a_tombstone_from_before_is_none(any_bus: Bus) -> None:
    await put(any_bus, KEY, b"1")
    await put(any_bus, KEY, b"")
    async with running(any_bus) as found:
        assert await found.get(KEY) is None
        await put_and_seen(any_bus, found, KEY, b"2")
        assert await found.get(KEY) == (KEY, b"2")


async def test_what_is_kept_is_not_asked_for_again_not_even_that_there_is_none(
    replica: Replica,
) -> None:
    await put(replica, KEY, b"1")
    async with running(replica) as found:
        for _ in range(3):
            assert await found.get(KEY) == (KEY, b"1")
            assert await found.get(OTHER) is None
    assert replica.asked == [False, False, True]  # the last for "there is none"


async def test_kept_values_are_known_while_the_bus_is_away_and_others_are_unavailable(
    memory_bus: MemoryBus,
) -> None:
    await put(memory_bus, KEY, b"1")
    async with running(memory_bus) as found:
        assert await found.get(KEY)
        memory_bus.away = True
        assert await found.get(KEY) == (KEY, b"1")
        with pytest.raises(Unavailable):
            await found.get(OTHER)
        memory_bus.away = False
        await put(memory_bus, OTHER, b"2")
        assert await found.get(OTHER) == (OTHER, b"2")  # nothing was kept of the failure


# --- how much is kept


async def test_no_more_are_kept_than_are_to_be_and_the_last_used_stay(replica: Replica) -> None:
    for number in range(5):
        await put(replica, f"account.org.u{number}", b"%d" % number)
    async with running(replica, keep=3) as found:
        for number in (0, 1, 2, 0, 3, 4):
            await found.get(f"account.org.u{number}")
        assert len(found) == 3
        replica.asked.clear()
        for number in (0, 3, 4):
            assert await found.get(f"account.org.u{number}")
        assert replica.asked == []
        await found.get("account.org.u1")
        assert replica.asked == [False]


async def test_changes_of_others_push_nothing_out(replica: Replica) -> None:
    """Somebody fills the directory: what is in use stays."""
    await put(replica, KEY, b"1")
    async with running(replica, keep=3) as found:
        await found.get(KEY)
        for number in range(20):
            last = await put(replica, f"account.org.u{number}", b"x")
        await found.seen(last)
        assert len(found) == 1
        replica.asked.clear()
        assert await found.get(KEY) == (KEY, b"1")
        assert replica.asked == []


async def test_big_values_are_kept_by_their_octets(memory_bus: MemoryBus) -> None:
    async with running(memory_bus, octets=250) as found:
        for key in ("account.org.a", "account.org.b", "account.org.c"):
            await put_and_seen(memory_bus, found, key, b"x" * 100)
            assert await found.get(key)
        assert len(found) == 2
        await put_and_seen(memory_bus, found, "account.org.c", b"x" * 200)
        assert len(found) == 1
        assert await found.get("account.org.c") == ("account.org.c", b"x" * 200)
        await put_and_seen(memory_bus, found, "account.org.c", b"x" * 251)  # alone too big
        assert len(found) == 0
        assert await found.get("account.org.c") == ("account.org.c", b"x" * 251)


async def test_what_is_remembered_of_changes_is_bounded(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "HEARD", 4)
    async with running(memory_bus) as found:
        for number in range(10):
            last = await put(memory_bus, f"account.org.u{number}", b"x")
        await found.seen(last)
        assert list(found._heard.values()) == [7, 8, 9, 10]


# --- seen


async def test_seen_returns_for_what_was_there_before(any_bus: Bus) -> None:
    """Also where the last change was of another kind of key."""
    revision = await put(any_bus, "domain.org", b"{}")
    async with running(any_bus) as found, asyncio.timeout(PATIENCE):
        await found.seen(revision)


async def test_what_does_not_arrive_is_unavailable(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "PATIENCE", 0.01)
    async with running(memory_bus) as found:
        with pytest.raises(Unavailable, match="revision 9 does not arrive"):
            await found.seen(9)


# --- while the bus is away


async def test_a_start_while_the_bus_is_away_waits_for_it(memory_bus: MemoryBus) -> None:
    await put(memory_bus, KEY, b"1")
    memory_bus.away = True
    found = Found(memory_bus, subjects.DIRECTORY, "account.>", pair)
    async with background(found.run()):
        with pytest.raises(Unavailable):
            await found.get(KEY)
        assert not found.loaded.is_set()
        memory_bus.away = False
        await asyncio.wait_for(found.loaded.wait(), PATIENCE)
        await put_and_seen(memory_bus, found, KEY, b"2")
        assert await found.get(KEY) == (KEY, b"2")


async def test_nothing_is_missed_while_the_server_is_killed(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    """Another process is back sooner, and writes before this one hears again."""
    keys = [KEY, OTHER, "account.org.new", "account.org.never"]
    await put(bus, KEY, b"1")
    async with running(bus) as found:
        assert await found.get(KEY) == (KEY, b"1")
        assert await found.get(OTHER) is None
        nats_server.kill()
        nats_server.start()
        other = await nats_server.connect()
        for key in keys[:3]:
            last = await patiently(lambda k=key: put(other, k, b"2"), None)  # type: ignore[misc]
        await other.close()
        await found.seen(last)
        found_now = [await patiently(lambda k=key: found.get(k), None) for key in keys]  # type: ignore[misc]
        assert found_now == [*((key, b"2") for key in keys[:3]), None]


async def test_a_start_on_a_server_that_is_killed_goes_on_when_it_is_back(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    await put(bus, KEY, b"1")
    nats_server.kill()
    found = Found(bus, subjects.DIRECTORY, "account.>", pair)
    async with background(found.run()):
        with pytest.raises(Unavailable):
            await found.get(KEY)
        nats_server.start()
        await asyncio.wait_for(found.loaded.wait(), PATIENCE)
        assert await patiently(lambda: found.get(KEY), None) == (KEY, b"1")


async def test_revisions_of_a_bucket_and_of_what_is_kept_are_the_same(any_bus: Bus) -> None:
    """What popauth is told when it writes is what it waits for."""
    bucket = Bucket(any_bus, subjects.DIRECTORY)
    async with running(any_bus) as found:
        await found.seen(await bucket.put(KEY, {"n": 1}, expect=0))
        _, revision = await bucket.last(KEY)
        await found.seen(await bucket.put(KEY, {"n": 2}, expect=revision))
        assert await found.get(KEY) == (KEY, b'{"n": 2}')
