"""popauth's parts over a real bus, and over one in memory that can be made to fail."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes import MemoryBus
from tests.popauth.directory import Office, office
from tubepost.nats_bus import NatsBus


@pytest.fixture
async def real(bus: NatsBus) -> AsyncIterator[Office]:
    """Nothing is in it."""
    async with office(bus) as found:
        yield found


@pytest.fixture
async def in_memory(memory_bus: MemoryBus) -> AsyncIterator[Office]:
    """Nothing is in it."""
    async with office(memory_bus) as found:
        yield found
