"""Reads a shard: what is new, or was written lately, at once, and beside it all that is older.

A new owner so hands out new mail from the first second, however long the queue is, and what came
while nobody owned the shard too. The order does not matter: a subject has one version, a job names
the one it is for, and the worker compares.
"""

import asyncio
import contextlib
from collections.abc import Callable

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus, CaughtUp, Clock, Stored

RECENT = 300.0
"""Seconds before our begin that still count as new: longer than a shard is without an owner."""

AGAIN = 0.5
"""Seconds until the stream is asked again where it stands."""


class Reading:
    """`see` gets each record, headers only; with True where it was written since we began."""

    def __init__(
        self, bus: Bus, number: int, see: Callable[[Stored, bool], None], clock: Clock
    ) -> None:
        self._bus, self._see, self._clock = bus, see, clock
        self._stream = subjects.queue_stream(number)
        self._every = subjects.queue_subjects(number)
        self._recent_seen = asyncio.Event()
        self.loaded = asyncio.Event()
        """All that was there when we began has been seen."""

    async def run(self) -> None:
        """For ever."""
        recent, begin = await self._positions()
        async with asyncio.TaskGroup() as group:
            follow = group.create_task(self._follow(recent, begin))
            await self._load(recent)
            await self._recent_seen.wait()
            self.loaded.set()
            await follow

    async def _positions(self) -> tuple[int, int]:
        """The last record that is not recent, and the last of all."""
        while True:
            try:
                begin = await self._bus.position(self._stream)
                recent = await self._bus.position(self._stream, since=self._clock() - RECENT)
                return min(recent, begin), begin
            except Unavailable:
                await asyncio.sleep(AGAIN)

    async def _load(self, recent: int) -> None:
        records = self._bus.follow(self._stream, self._every, headers_only=True)
        async with contextlib.aclosing(records):
            async for item in records:
                if isinstance(item, CaughtUp) or item.seq > recent:
                    return
                self._see(item, False)

    async def _follow(self, recent: int, begin: int) -> None:
        records = self._bus.follow(self._stream, self._every, after=recent, headers_only=True)
        async for item in records:
            if isinstance(item, CaughtUp):
                self._recent_seen.set()
            else:
                self._see(item, item.seq > begin)
