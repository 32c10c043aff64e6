"""Look-ups whose answer is old when it comes: what is newer is what is kept."""

import asyncio

import pytest

from tests.fakes import MemoryBus
from tests.tubepost.lookups_rig import (
    KEY,
    PATIENCE,
    Found,
    Replica,
    pair,
    put,
    put_and_seen,
    running,
)
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.tasks import background


@pytest.fixture
def replica() -> Replica:
    return Replica()


@pytest.mark.parametrize("before", [b"1", None], ids=["another value", "none"])
async def test_a_read_that_races_with_a_change_keeps_the_newer_one(
    replica: Replica, before: bytes | None
) -> None:
    if before:
        await put(replica, KEY, before)
    async with running(replica) as found:
        replica.gate.clear()
        getting = asyncio.create_task(found.get(KEY))
        await replica.waiting.wait()  # the server has answered, and the answer is on its way
        await put_and_seen(replica, found, KEY, b"2")
        replica.gate.set()
        assert await getting == (KEY, b"2")
        assert await found.get(KEY) == (KEY, b"2")


@pytest.mark.parametrize("when", ["before the start", "after it"])
async def test_a_replica_that_is_behind_is_not_believed(replica: Replica, when: str) -> None:
    """The change was not kept when it was heard, for nobody had asked for its key."""
    subject = subjects.bucket_key(subjects.DIRECTORY, KEY)
    await put(replica, KEY, b"old")
    replica.old[subject] = await replica.read("KV_directory", subject)
    if when == "before the start":
        await put(replica, KEY, b"new")
    async with running(replica) as found:
        if when == "after it":
            await put_and_seen(replica, found, KEY, b"new")
        replica.asked.clear()
        assert await found.get(KEY) == (KEY, b"new")
        assert await found.get(KEY) == (KEY, b"new")
    assert replica.asked == [False, True]


async def test_a_leader_that_is_behind_what_was_heard_is_unavailable_and_nothing_is_kept(
    replica: Replica,
) -> None:
    """One that is deposed and does not know it yet (tests/contracts/test_leader_behind.py)."""
    subject = subjects.bucket_key(subjects.DIRECTORY, KEY)
    replica.old[subject], replica.leader_is_old = None, True
    async with running(replica) as found:
        await put_and_seen(replica, found, KEY, b"new")
        with pytest.raises(Unavailable, match="older than what was heard"):
            await found.get(KEY)
        replica.leader_is_old = False
        assert await found.get(KEY) == (KEY, b"new")


async def test_a_change_heard_again_at_the_start_is_no_newer_one(memory_bus: MemoryBus) -> None:
    """The changes from before the start come after the first read, in which they are."""
    for number in range(5):
        await put(memory_bus, KEY, b"%d" % number)
    found = Found(memory_bus, subjects.DIRECTORY, "account.>", pair)
    assert await found.get(KEY) == (KEY, b"4")
    async with background(found.run()):
        await asyncio.wait_for(found.loaded.wait(), PATIENCE)
        assert await found.get(KEY) == (KEY, b"4")
