"""Fixtures of the contracts: a test that takes `any_bus` runs on both adapters of the port."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from ctl import embedded
from tests.conftest import PLAN
from tests.contracts.guarded import Connect, Guarded
from tests.nats_server import remove_streams
from tubepost import maillog
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus
from tubepost.provision import provision


@pytest.fixture(params=["memory", "nats"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    name = {"memory": "memory_bus", "nats": "bus"}[request.param]
    found: Bus = request.getfixturevalue(name)
    return found


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls on a real bus wait 1 s at most: for tests in which some get no answer."""
    defaults = NatsBus._call.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", 1.0)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = Guarded(embedded.prepare(tmp_path_factory.mktemp("guarded"), PLAN.shards))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def connect(guarded: Guarded) -> AsyncIterator[Connect]:
    """A bus of any service's user; scheduler has made the streams."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect_as(service: str) -> NatsBus:
            bus = await guarded.connect(service, guarded.passwords[service])
            stack.push_async_callback(bus.close)
            return bus

        scheduler = await connect_as("scheduler")
        await provision(scheduler.client, PLAN)
        stack.push_async_callback(remove_streams, scheduler.client)
        yield connect_as


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server refused to anybody's bus: nothing where a service does its own work."""
    found: list[str] = []
    monkeypatch.setattr(maillog, "bus_error", found.append)
    return found
