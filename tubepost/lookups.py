"""Single values of a bucket, read when they are asked for: for buckets too big to hold in memory.

The last ones asked for are kept and kept up to date: every change made since this began is heard.
"There is none" is always the leader's word, and is kept like a value. What any replica answers is
held against the last changes heard: a replica that is behind them is not believed, and the leader
is asked (decision 0012).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.keyed import PATIENCE
from tubepost.ports import Bus, CaughtUp, Stored

KEEP = 20_000
"""Values kept by a process."""

OCTETS = 32 << 20
"""What they may take in the bucket, all together: a list may have many members."""

HEARD = 10_000
"""Changes remembered, the last of each key: by them an answer is known to be an old one."""

BEHIND = 1_000
"""Changes from before the start that are heard besides: a replica may not have had them yet."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    seq: int
    value: T | None
    octets: int


class Lookups(Generic[T]):
    """Keys that match `pattern`; `decode` makes of key and stored octets what is kept.

    `decode` raises nothing: what it cannot read has to be a value, too.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: str,
        pattern: str,
        decode: Callable[[str, bytes], T],
        *,
        keep: int = KEEP,
        octets: int = OCTETS,
    ) -> None:
        self._bus, self._bucket, self._decode = bus, bucket, decode
        self._keep_most, self._octets_most, self._octets = keep, octets, 0
        self._stream = subjects.bucket_stream(bucket)
        self._prefix = subjects.bucket_key(bucket, "")
        self._every = subjects.bucket_key(bucket, pattern)
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._seen = 0
        self._news = asyncio.Condition()
        self.loaded = asyncio.Event()

    def __len__(self) -> int:
        """Values kept now."""
        return len(self._kept)

    async def run(self) -> None:
        """Hears changes for ever. What was changed before is found when it is asked for."""
        last = await self._beginning()
        await self._now_at(last)
        after = max(0, last - BEHIND)
        async for item in self._bus.follow(self._stream, self._every, after=after):
            if isinstance(item, CaughtUp):
                self.loaded.set()
            else:
                await self._apply(item)

    async def get(self, key: str) -> T | None:
        """The value, or None where there is none. Raises Unavailable."""
        kept = self._kept.get(key)
        if kept is None:
            return self._keep(key, await self._read(key)).value
        self._kept.move_to_end(key)
        return kept.value

    async def seen(self, revision: int) -> None:
        """Returns once a change that was just written is heard. Raises Unavailable."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: self._seen >= revision)
        except TimeoutError as error:
            raise Unavailable(f"{self._bucket}: revision {revision} does not arrive") from error

    async def _beginning(self) -> int:
        every = subjects.bucket_key(self._bucket, ">")
        while True:
            try:
                last = await self._bus.read(self._stream, every, leader=True)
            except Unavailable:
                await asyncio.sleep(0.2)  # as `follow` waits for a server
            else:
                return last.seq if last else 0

    async def _read(self, key: str) -> Stored:
        """The last time is for a change that was heard while the leader answered."""
        subject = self._prefix + key
        for leader in (False, True, True):
            stored = await self._bus.read(self._stream, subject, leader=leader)
            found = stored or Stored(subject, 0)
            if (found.data or leader) and found.seq >= self._heard.get(key, 0):
                return found
        raise Unavailable(f"{subject}: what is answered is older than what was heard")

    async def _apply(self, stored: Stored) -> None:
        key = stored.subject.removeprefix(self._prefix)
        self._heard[key] = stored.seq
        self._heard.move_to_end(key)
        if len(self._heard) > HEARD:
            self._heard.popitem(last=False)
        if key in self._kept:
            self._keep(key, stored)
        await self._now_at(stored.seq)

    async def _now_at(self, seq: int) -> None:
        async with self._news:
            self._seen = max(self._seen, seq)
            self._news.notify_all()

    def _keep(self, key: str, stored: Stored) -> _Kept[T]:
        """The newer one of this and what is kept; a change is no reason to keep it for longer."""
        kept = self._kept.get(key)
        if kept and kept.seq > stored.seq:
            return kept
        value = self._decode(key, stored.data) if stored.data else None
        new = self._kept[key] = _Kept(stored.seq, value, len(stored.data))
        self._octets += new.octets - (kept.octets if kept else 0)
        while len(self._kept) > self._keep_most or self._octets > self._octets_most:
            self._octets -= self._kept.popitem(last=False)[1].octets
        return new
