"""Single values of a bucket, read when they are asked for: for buckets too big to hold in memory.

The last ones asked for are kept and kept up to date: every change made since this began is heard.
"There is none" is always the leader's word, and is kept like a value.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.keyed import PATIENCE, Value, value_in
from tubepost.ports import Bus, CaughtUp, Stored

KEEP = 20_000
"""Values kept by a process."""

T = TypeVar("T")


class Lookups(Generic[T]):
    """Keys that match `pattern`; `decode` makes of key and value what is kept."""

    def __init__(
        self,
        bus: Bus,
        bucket: str,
        pattern: str,
        decode: Callable[[str, Value], T],
        *,
        keep: int = KEEP,
    ) -> None:
        self._bus, self._bucket, self._decode, self._keep = bus, bucket, decode, keep
        self._stream = subjects.bucket_stream(bucket)
        self._every = subjects.bucket_key(bucket, pattern)
        self._kept: OrderedDict[str, tuple[int, T | None]] = OrderedDict()
        self._seen = 0
        self._news = asyncio.Condition()
        self.loaded = asyncio.Event()

    async def run(self) -> None:
        """Hears changes for ever. What was changed before is found when it is asked for."""
        after = await self._beginning()
        async for item in self._bus.follow(self._stream, self._every, after=after):
            if isinstance(item, CaughtUp):
                self.loaded.set()
            else:
                await self._apply(item)

    async def get(self, key: str) -> T | None:
        """The value, or None where there is none. Raises Unavailable."""
        kept = self._kept.get(key)
        if kept is None:
            kept = self._keep_newest(key, *await self._read(key))
        else:
            self._kept.move_to_end(key)
        return kept[1]

    async def seen(self, revision: int) -> None:
        """Returns once a change that was just written is heard. Raises Unavailable."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: self._seen >= revision)
        except TimeoutError as error:
            raise Unavailable(f"{self._bucket}: revision {revision} does not arrive") from error

    async def _beginning(self) -> int:
        while True:
            try:
                last = await self._bus.read(
                    self._stream, subjects.bucket_key(self._bucket, ">"), leader=True
                )
            except Unavailable:
                await asyncio.sleep(0.2)  # as `follow` waits for a server
            else:
                return last.seq if last else 0

    async def _read(self, key: str) -> tuple[int, T | None]:
        subject = subjects.bucket_key(self._bucket, key)
        for leader in (False, True):
            stored = await self._bus.read(self._stream, subject, leader=leader)
            if stored and stored.data:
                return stored.seq, self._decoded(stored)
        return (stored.seq if stored else 0), None

    async def _apply(self, stored: Stored) -> None:
        key = stored.subject.removeprefix(subjects.bucket_key(self._bucket, ""))
        self._keep_newest(key, stored.seq, self._decoded(stored))
        async with self._news:
            self._seen = stored.seq
            self._news.notify_all()

    def _decoded(self, stored: Stored) -> T | None:
        key = stored.subject.removeprefix(subjects.bucket_key(self._bucket, ""))
        value = value_in(stored)
        return None if value is None else self._decode(key, value)

    def _keep_newest(self, key: str, seq: int, value: T | None) -> tuple[int, T | None]:
        kept = self._kept.get(key)
        if kept is None or kept[0] <= seq:
            kept = self._kept[key] = (seq, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return kept
