"""Reads a shard: what is written from now on at once, and beside it all that was there before.

A new owner so hands out new mail from the first second, however long the queue is. The order does
not matter: a subject has one version, a job names the one it is for, and the worker compares.
"""

import asyncio
import contextlib
from collections.abc import Callable

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus, CaughtUp, Stored

AGAIN = 0.5
"""Seconds until the stream is asked again where it stands."""


class Reading:
    """`see` gets each record, headers only; with `new` where it was written since we began."""

    def __init__(self, bus: Bus, number: int, see: Callable[[Stored, bool], None]) -> None:
        self._bus, self._see = bus, see
        self._stream = subjects.queue_stream(number)
        self._every = subjects.queue_subjects(number)
        self.loaded = asyncio.Event()
        """All that was there when we began has been seen."""

    async def run(self) -> None:
        """For ever."""
        begin = await self._position()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load(begin))
            group.create_task(self._follow(begin))

    async def _position(self) -> int:
        while True:
            try:
                return await self._bus.position(self._stream)
            except Unavailable:
                await asyncio.sleep(AGAIN)

    async def _load(self, begin: int) -> None:
        records = self._bus.follow(self._stream, self._every, headers_only=True)
        async with contextlib.aclosing(records):
            async for item in records:
                if isinstance(item, CaughtUp) or item.seq > begin:
                    break
                self._see(item, False)
        self.loaded.set()

    async def _follow(self, begin: int) -> None:
        records = self._bus.follow(self._stream, self._every, after=begin, headers_only=True)
        async for item in records:
            if not isinstance(item, CaughtUp):
                self._see(item, True)
