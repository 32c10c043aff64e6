"""Reads endless iterators in tests: items come through a queue, and the end is a proper one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Generic, TypeVar

from tubepost.ports import Bus, CaughtUp, Stored

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds until a test that waits for an item has failed."""


class Reader(Generic[T]):
    """What an endless iterator has given so far."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._items: asyncio.Queue[T] = asyncio.Queue()
        self._task = asyncio.create_task(self._read(source))

    async def _read(self, source: AsyncIterator[T]) -> None:
        async for item in source:
            self._items.put_nowait(item)

    async def next(self) -> T:
        """The next item; the iterator's own error where it failed."""
        getting = asyncio.create_task(self._items.get())
        await asyncio.wait(
            {getting, self._task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        if not getting.done():
            getting.cancel()
            if self._task.done():
                self._task.result()
            raise AssertionError("nothing more came")
        return getting.result()

    async def take(self, count: int) -> list[T]:
        return [await self.next() for _ in range(count)]

    @property
    def waiting(self) -> int:
        """How many items have come that nobody has taken."""
        return self._items.qsize()

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@contextlib.asynccontextmanager
async def reading(source: AsyncIterator[T]) -> AsyncIterator[Reader[T]]:
    """A reader for the time of the block."""
    reader = Reader(source)
    try:
        yield reader
    finally:
        await reader.close()


async def until_caught_up(reader: Reader[Stored | CaughtUp]) -> list[Stored]:
    """What comes before CaughtUp."""
    found = []
    while isinstance(item := await reader.next(), Stored):
        found.append(item)
    return found


def subjects_of(items: Iterable[Stored | CaughtUp]) -> list[str]:
    return [item.subject for item in items if isinstance(item, Stored)]


async def rounds(bus: Bus, count: int = 30) -> None:
    """Round trips to the bus: what it had to send before these began has come by their end."""
    for _ in range(count):
        await bus.read("MAIL", "mail.none.0", leader=True)
