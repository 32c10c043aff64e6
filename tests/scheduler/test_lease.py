"""The lease of a shard, on the real bus: its times to live are the server's."""

import asyncio

import pytest

from services.scheduler import lease as module
from services.scheduler.lease import Lease
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.nats_bus import NatsBus


def never() -> None:
    raise AssertionError("the store of leases answered all the time")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TTL", 2.0)
    monkeypatch.setattr(module, "RENEW", 0.5)


async def holder(bus: NatsBus, shard: int = 0) -> str | None:
    stream = subjects.bucket_stream(subjects.LEASES)
    found = await bus.read(stream, subjects.lease(shard), leader=True)
    return found.data.decode() if found and found.data else None


async def acquired(bus: NatsBus, name: str, shard: int = 0) -> Lease:
    lease = Lease(bus, shard, name, never)
    async with asyncio.timeout(20):
        while not await lease.take():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a lease that ends says so to nobody
    return lease


async def test_a_second_holder_waits_until_the_first_lets_go(bus: NatsBus) -> None:
    first = await acquired(bus, "one")
    keeping = asyncio.create_task(first.keep())
    second = asyncio.create_task(acquired(bus, "two"))
    done, _ = await asyncio.wait({second}, timeout=2 * module.TTL)
    assert not done, "the first renews its lease"
    assert await holder(bus) == "one"
    keeping.cancel()
    await first.release()
    await second
    assert await holder(bus) == "two"


async def test_a_shard_is_free_at_once_after_a_release(
    bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TTL", 3600.0)
    first = await acquired(bus, "one")
    await first.release()
    await acquired(bus, "two")
    assert await holder(bus) == "two"


async def test_a_dead_holder_s_shard_is_taken_over_when_its_time_is_up(bus: NatsBus) -> None:
    await acquired(bus, "one")  # and never renewed
    await acquired(bus, "two")
    assert await holder(bus) == "two"


async def test_shards_are_leased_one_by_one(bus: NatsBus) -> None:
    await acquired(bus, "one", shard=0)
    await acquired(bus, "two", shard=1)
    assert [await holder(bus, 0), await holder(bus, 1)] == ["one", "two"]


async def test_keep_ends_where_another_has_the_lease(bus: NatsBus) -> None:
    first = await acquired(bus, "one")
    stream = subjects.bucket_stream(subjects.LEASES)
    await bus.purge(stream, subjects.lease(0))
    await acquired(bus, "two")
    async with asyncio.timeout(20):
        assert await first.keep() == "another scheduler has it"
    assert await holder(bus) == "two"


async def test_a_late_release_does_not_free_the_next_one_s_lease(bus: NatsBus) -> None:
    first = await acquired(bus, "one")
    await bus.purge(subjects.bucket_stream(subjects.LEASES), subjects.lease(0))
    await acquired(bus, "two")
    await first.release()
    assert await holder(bus) == "two"


async def test_a_lease_outlives_a_store_of_leases_that_begins_empty(bus: NatsBus) -> None:
    first = await acquired(bus, "one")
    await bus.purge(subjects.bucket_stream(subjects.LEASES), subjects.lease(0))
    keeping = asyncio.create_task(first.keep())
    done, _ = await asyncio.wait({keeping}, timeout=2 * module.RENEW)
    assert not done
    assert await holder(bus) == "one"
    keeping.cancel()


async def test_keep_ends_before_its_time_is_up_where_the_bus_is_away(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    asked = asyncio.Event()
    first = Lease(bus, 0, "one", asked.set)
    assert await first.take()
    nats_server.kill()
    async with asyncio.timeout(30):
        assert await first.keep()
    assert asked.is_set(), "the streams may have to be made again"
