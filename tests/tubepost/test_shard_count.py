"""Whether a process may work with its number of shards: before it begins, and while it runs."""

import asyncio

import pytest

from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.control import Control
from tubepost.shard_count import Count, WrongCount, agreed, check
from tubepost.tasks import background

KEY = subjects.bucket_key(subjects.CONTROL, subjects.SHARD_COUNT)


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (Count(5), r"the queue has 5 shards, not 2; start with 5, or run: tubepost reshard 2"),
        (Count(5, moving=True), r"the change to 5 shards has not ended; run: tubepost reshard 5"),
        (Count(2, moving=True), r"the change to 2 shards has not ended; run: tubepost reshard 2"),
    ],
)
def test_a_process_with_another_number_may_not_work(count: Count, why: str) -> None:
    with pytest.raises(WrongCount, match=why):
        check(count, 2)


def test_one_with_the_same_number_may() -> None:
    check(Count(2), 2)


async def test_it_waits_for_the_number_and_ends_when_it_changes(memory_bus: MemoryBus) -> None:
    control, began = Control(memory_bus, "host"), asyncio.Event()

    async def serve() -> None:
        async with agreed(control, 2):
            began.set()
            await asyncio.Event().wait()

    async with background(control.run()), asyncio.timeout(20):
        await control.mirror.loaded.wait()
        serving = asyncio.create_task(serve())
        await memory_bus.append("$KV.control.me", b'{"lines": ["x"]}')
        await control.mirror.seen(1)
        assert not began.is_set()
        await memory_bus.append(KEY, Count(2).encode())
        await began.wait()
        await memory_bus.append(KEY, Count(5, moving=True).encode())
        with pytest.raises(WrongCount):
            await serving
    assert control.mirror.listeners == []


async def test_with_another_number_the_body_does_not_begin(clock: FakeClock) -> None:
    bus = MemoryBus(clock)
    control = Control(bus, "host")
    await bus.append(KEY, Count(3).encode())
    async with background(control.run()), asyncio.timeout(20):
        await control.mirror.loaded.wait()
        with pytest.raises(WrongCount):
            async with agreed(control, 2):
                raise AssertionError("it began")
