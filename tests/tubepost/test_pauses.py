"""Pauses: what they stop, that they last, and what is refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.fakes import MemoryBus
from tubepost.errors import BadInput, NotFound
from tubepost.pauses import Pauses
from tubepost.ports import Bus
from tubepost.record import Note

NOTE = Note("joe", "repairs", 1_700_000_000.0)


@contextlib.asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[Pauses]:
    """As a scheduler has them."""
    pauses = Pauses(bus)
    task = asyncio.create_task(pauses.run())
    try:
        async with asyncio.timeout(10):
            await pauses.mirror.loaded.wait()
        yield pauses
    finally:
        task.cancel()


@pytest.mark.parametrize(
    ("what", "channels", "destinations"),
    [
        ("all", {"local", "remote"}, set()),
        ("local", {"local"}, set()),
        ("remote", {"remote"}, set()),
        ("Far.Example", set(), {"far.example"}),
        ("[192.0.2.1]", set(), {"[192.0.2.1]"}),
    ],
)
async def test_a_pause_is_in_force_until_it_is_ended(
    memory_bus: MemoryBus, what: str, channels: set[str], destinations: set[str]
) -> None:
    async with running(memory_bus) as pauses:
        name = await pauses.pause(what, NOTE)
        assert (set(pauses.channels), set(pauses.destinations)) == (channels, destinations)
        assert pauses.listed() == [{"what": name, "by": "joe", "why": "repairs", "at": NOTE.at}]
        assert await pauses.resume(what) == name
        assert pauses.listed() == []
        assert not pauses.channels | pauses.destinations


async def test_others_see_it_and_it_outlives_whoever_made_it(bus: Bus) -> None:
    async with running(bus) as first, running(bus) as second:
        await second.pause("remote", NOTE)
        revision = await second._bucket.put("destination.far=2Eexample", {"by": "x"})
        await first.mirror.seen(revision)
        assert first.channels == {"remote"}
        assert first.destinations == {"far.example"}
    async with running(bus) as third:
        assert third.channels == {"remote"}


async def test_the_end_of_one_pause_leaves_the_others(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as pauses:
        await pauses.pause("all", NOTE)
        await pauses.pause("local", NOTE)
        await pauses.resume("all")
        assert pauses.channels == {"local"}


async def test_what_is_refused(memory_bus: MemoryBus) -> None:
    async with running(memory_bus) as pauses:
        with pytest.raises(BadInput, match="'two words' is not a domain name"):
            await pauses.pause("two words", NOTE)
        with pytest.raises(NotFound, match=r"far\.example is not paused; see: tubepost queue"):
            await pauses.resume("far.example")
