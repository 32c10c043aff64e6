"""Replicas share the shards out, on the real bus: they join, leave, die, and lose the bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from services.scheduler import holdings as module
from services.scheduler import lease, members
from services.scheduler.holdings import Holdings
from services.scheduler.members import Member
from tests.conftest import PLAN
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.nats_bus import NatsBus
from tubepost.provision import provision

SHARDS = 5
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "TTL", 2.0)
    monkeypatch.setattr(lease, "RENEW", 0.5)
    monkeypatch.setattr(module, "ROUND", 0.5)
    monkeypatch.setattr(module, "SOON", 0.05)
    monkeypatch.setattr(module, "ANSWERS_WITHIN", 0.1)


class Replica:
    """`working`: the shards whose work runs; `begun`: how often it began, of all shards."""

    def __init__(self, bus: NatsBus, name: str, changed: asyncio.Condition) -> None:
        self.bus, self.changed = bus, changed
        self.working: set[int] = set()
        self.begun = 0
        self.holdings = Holdings(bus, SHARDS, name, work=self._work, wanted=self._wanted)
        self.task = asyncio.create_task(self.holdings.run())
        self._making: set[asyncio.Task[bool]] = set()

    async def _work(self, shard: int) -> None:
        self.working.add(shard)
        self.begun += 1
        await self._tell()
        try:
            await asyncio.Event().wait()
        finally:
            self.working.discard(shard)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def _wanted(self) -> None:
        task = asyncio.create_task(provision(self.bus.client, PLAN))
        self._making.add(task)
        task.add_done_callback(lambda _: task.cancelled() or task.exception())

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.task.cancel()
        await asyncio.wait({self.task})

    async def die(self) -> None:
        """As kill -9 does: nobody is told anything."""
        await self.bus.client.close()
        await self.stop()


class Replicas:
    """All of a test, each with a connection of its own."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self.all: list[Replica] = []
        self._changed = asyncio.Condition()

    async def join(self, name: str) -> Replica:
        bus = await self._server.connect()
        self.all.append(Replica(bus, name, self._changed))
        return self.all[-1]

    async def until_shares(self, *counts: int) -> None:
        """Returns when every shard has one worker and the counts are so, however ordered."""

        def so() -> bool:
            working = [shard for r in self.all for shard in r.working]
            shares = sorted(len(r.working) for r in self.all if not r.task.done())
            return sorted(working) == list(range(SHARDS)) and shares == sorted(counts)

        try:
            async with asyncio.timeout(PATIENCE), self._changed:
                await self._changed.wait_for(so)
        except TimeoutError:
            raise AssertionError([r.working for r in self.all]) from None

    async def close(self) -> None:
        for replica in self.all:
            await replica.stop()
            with contextlib.suppress(ConnectionError):
                await replica.bus.close()


@pytest.fixture
async def replicas(bus: NatsBus, nats_server: NatsServer) -> AsyncIterator[Replicas]:
    found = Replicas(nats_server)
    yield found
    await found.close()


def owned(shard: int) -> float | None:
    return REGISTRY.get_sample_value("tubepost_shard_owned", {"shard": str(shard)})


async def test_one_holds_all_and_says_so_in_the_metrics(replicas: Replicas) -> None:
    one = await replicas.join("a")
    await replicas.until_shares(5)
    assert [owned(shard) for shard in range(SHARDS)] == [1] * SHARDS
    await one.stop()
    assert [owned(shard) for shard in range(SHARDS)] == [0] * SHARDS


async def test_whoever_joins_gets_its_share_and_nothing_else_moves(replicas: Replicas) -> None:
    first = await replicas.join("a")
    await replicas.until_shares(5)
    second = await replicas.join("b")
    await replicas.until_shares(3, 2)
    await replicas.join("c")
    await replicas.until_shares(2, 2, 1)
    assert (first.begun, second.begun) == (5, 2), "no shard went there and back"


async def test_three_that_begin_at_once(replicas: Replicas) -> None:
    for name in "abc":
        await replicas.join(name)
    await replicas.until_shares(2, 2, 1)


async def test_what_one_that_stops_held_is_taken_before_its_lease_would_end(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TTL", 3600.0)
    first = await replicas.join("a")
    await replicas.until_shares(5)
    await replicas.join("b")
    await replicas.join("c")
    await replicas.until_shares(2, 2, 1)
    await first.stop()
    await replicas.until_shares(3, 2)


async def test_what_a_dead_one_held_is_taken_over(replicas: Replicas) -> None:
    first = await replicas.join("a")
    await replicas.until_shares(5)
    await replicas.join("b")
    await replicas.until_shares(3, 2)
    await first.die()
    await replicas.until_shares(5)


async def test_a_restart_of_the_server_moves_nothing(
    replicas: Replicas, nats_server: NatsServer, bus: NatsBus
) -> None:
    """The leases are in memory, and gone with it."""
    one = await replicas.join("a")
    await replicas.until_shares(5)
    two = await replicas.join("b")
    await replicas.until_shares(3, 2)
    before = (one.begun, two.begun)
    nats_server.kill()
    nats_server.start()
    await leases(bus, SHARDS)
    await replicas.until_shares(3, 2)
    assert (one.begun, two.begun) == before


async def test_after_a_long_time_without_the_bus_every_shard_has_an_owner_again(
    replicas: Replicas, nats_server: NatsServer
) -> None:
    await replicas.join("a")
    await replicas.until_shares(5)
    await replicas.join("b")
    await replicas.until_shares(3, 2)
    nats_server.kill()
    await until(lambda: no_work(replicas))
    nats_server.start()
    await replicas.until_shares(3, 2)


async def test_a_replica_that_finds_no_store_of_leases_has_it_made(
    replicas: Replicas, bus: NatsBus
) -> None:
    await bus.client.jetstream().delete_stream(subjects.bucket_stream(subjects.LEASES))
    await replicas.join("a")
    await replicas.until_shares(5)


async def test_a_shard_that_its_heir_does_not_take_is_taken_and_kept(
    replicas: Replicas, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers and never takes anything must not keep a shard from being served."""
    monkeypatch.setattr(module, "NEGLECTED", 0.5)
    idle = await nats_server.connect()

    async def nothing(_subject: str, _data: bytes) -> bytes:
        return members.answer(Member("idle", frozenset()))

    await idle.answer(subjects.MEMBERS, nothing)
    one = await replicas.join("a")
    await replicas.until_shares(5)
    answered = one.begun
    await until(lambda: leases(idle, SHARDS))
    assert one.begun == answered
    await idle.close()


async def test_noise_on_the_bus_is_not_a_replica(replicas: Replicas, bus: NatsBus) -> None:
    async def noise(_subject: str, _data: bytes) -> bytes:
        return b"hello"

    await bus.answer(subjects.MEMBERS, noise)
    await replicas.join("a")
    await replicas.until_shares(5)


async def leases(bus: NatsBus, count: int) -> bool:
    """Returns, with true, once so many leases are held."""
    stream = subjects.bucket_stream(subjects.LEASES)

    async def so() -> bool:
        try:
            return len(await bus.subjects(stream, "$KV.leases.>")) == count
        except Exception:  # noqa: BLE001 - away just now
            return False

    await until(so)
    return True


async def no_work(replicas: Replicas) -> bool:
    return not any(replica.working for replica in replicas.all)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Looks again and again: a bus that is away sends no event."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
