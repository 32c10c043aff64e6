"""Fixtures for the whole suite: a real nats-server, a bus on it, a bus in memory, a clock."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fakes import FakeClock, MemoryBus
from tests.nats_server import NatsServer, remove_streams
from tubepost.nats_bus import NatsBus
from tubepost.provision import Plan, provision

PLAN = Plan(shards=2, replicas=1, relay_window=10_800.0)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests. A test may kill it and start it again."""
    server = NatsServer.plain(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    """A bus whose streams are new and empty."""
    nats_server.start()  # a test that failed may have left it dead
    bus = await nats_server.connect()
    assert await provision(bus.client, PLAN)
    yield bus
    nats_server.start()
    await remove_streams(bus.client)
    await bus.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory_bus(clock: FakeClock) -> MemoryBus:
    return MemoryBus(clock)
