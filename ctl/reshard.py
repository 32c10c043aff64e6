"""Changes the number of shards of a queue that nobody works on: every record to its new place.

Written first, purged where it was second, so that a kill between the two leaves a record twice and
never nowhere; the next run finds it at its new place and only purges. While the change has not
ended no service starts (shard_count), so nothing else changes a record meanwhile. Writes have no
message id: a shard remembers the ids of what once was in it, and would refuse its return.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

from tubepost import provision, record, subjects
from tubepost.errors import BadInput, Conflict, Unavailable
from tubepost.mailstore import patiently
from tubepost.nats_bus import NatsBus
from tubepost.ports import CaughtUp, Stored
from tubepost.record import UnreadableRecord
from tubepost.shard_count import Count
from tubepost.subjects import Key

AT_ONCE = 64
"""Records moved at the same time."""

ANSWERS_WITHIN = 1.0
"""Seconds a service that still runs has to say so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record belongs, and its headers there."""

    key: Key
    headers: Mapping[str, str]


def place(stored: Stored, shards: int) -> Place:
    """The place of a record in a queue of `shards` shards. Pure.

    As smtpd and scheduler choose it. What cannot be read stays together with its mail's split or
    group record: any place will do, as long as it is always the same.
    """
    key = subjects.key_of(stored.subject)
    home = subjects.shard_of(subjects.LOCAL, "", key.mail_id, shards)
    headers = {n: v for n, v in stored.headers.items() if not n.startswith("Nats-")}
    try:
        found = record.decode(headers.get(record.HEADER))
    except UnreadableRecord:
        return Place(replace(key, shard=home), headers)
    if found.group not in (None, home):
        headers[record.HEADER] = record.with_group(headers[record.HEADER], home)
    shard = subjects.shard_of(found.channel, found.destination, key.mail_id, shards)
    return Place(replace(key, shard=home if key.unit == subjects.SPLIT_UNIT else shard), headers)


class Reshard:
    """`say`: told of the progress, a line each."""

    def __init__(self, bus: NatsBus, shards: int, say: Callable[[str], None]) -> None:
        self._bus, self._shards, self._say = bus, shards, say
        self._moved = 0

    async def run(self) -> int:
        """Makes it so; how many records had to move. May be repeated after a kill at any moment.

        Raises BadInput where there is no queue or somebody works on it, Unavailable, StoreFull.
        """
        there = await provision.queue_shards(self._bus.client)
        if not there:
            raise BadInput(f"there is no queue yet; start Tubepost with {self._shards} shards")
        await self._nobody_works()
        await self._store(Count(self._shards, moving=True))
        await self._nobody_works()  # nor has anybody begun just before
        await self._streams(there)
        while await self._pass({*there, *range(self._shards)}):
            pass  # until there is nothing more to move
        for shard in there:
            if shard >= self._shards:
                await provision.remove_shard(self._bus.client, shard)
        await self._forget_jobs()
        await self._store(Count(self._shards))
        return self._moved

    async def _nobody_works(self) -> None:
        if await self._bus.ask_all(subjects.MEMBERS, seconds=ANSWERS_WITHIN):
            raise BadInput("a scheduler is running; stop every service first")
        if await self._bus.ask_all(subjects.inflight(0), seconds=ANSWERS_WITHIN):
            raise BadInput("remote or local is running; stop every service first")
        leases = subjects.bucket_stream(subjects.LEASES)
        if await self._exists(leases) and await self._bus.subjects(leases, ">"):
            raise BadInput("a scheduler has just died, its lease has not ended; wait 10 s")

    async def _exists(self, stream: str) -> bool:
        return stream in await provision.stream_names(self._bus.client)

    async def _store(self, count: Count) -> None:
        subject = subjects.bucket_key(subjects.CONTROL, subjects.SHARD_COUNT)
        await patiently(lambda: self._bus.append(subject, count.encode()))

    async def _streams(self, there: list[int]) -> None:
        """What will be there is made, what will not be is closed: it takes nothing any more."""
        client = self._bus.client
        replicas = await provision.replicas_of(client, there[0])
        await provision.open_shards(client, self._shards, replicas)
        for shard in there:
            if shard >= self._shards:
                await provision.close_shard(client, shard)

    async def _forget_jobs(self) -> None:
        """They name old places. The scheduler makes them again."""
        if await self._exists(subjects.DISPATCH):
            await self._bus.purge(subjects.DISPATCH, ">")

    # --- records

    async def _pass(self, shards: set[int]) -> int:
        """Looks at every record once; how many were not as they should be."""
        before = self._moved
        for shard in sorted(shards):
            async for subjects_ in self._misplaced(shard):
                await asyncio.gather(*(self._put_right(subject) for subject in subjects_))
        return self._moved - before

    async def _misplaced(self, shard: int) -> AsyncIterator[list[str]]:
        """Subjects of records that may be in the wrong place, AT_ONCE at a time."""
        found: list[str] = []
        stream, every = subjects.queue_stream(shard), subjects.queue_subjects(shard)
        following = self._bus.follow(stream, every, headers_only=True)
        async with contextlib.aclosing(following) as items:
            async for item in items:
                if isinstance(item, CaughtUp):
                    break
                if not self._is_right(item):
                    found.append(item.subject)
                if len(found) == AT_ONCE:
                    yield found
                    found = []
        yield found

    def _is_right(self, stored: Stored) -> bool:
        right = place(stored, self._shards)
        return right.key.record == stored.subject and all(
            stored.headers.get(name) == value for name, value in right.headers.items()
        )

    async def _put_right(self, subject: str) -> None:
        key = subjects.key_of(subject)
        stored = await patiently(lambda: self._read(key))
        if stored is None or self._is_right(stored):
            return  # an older message of a subject that we saw
        right = place(stored, self._shards)
        if right.key == key:
            await patiently(lambda: self._write(right, stored, stored.seq))
        else:
            await patiently(lambda: self._move(right, stored))
        self._moved += 1
        if self._moved % 10_000 == 0:
            self._say(f"{self._moved} records moved")

    async def _read(self, key: Key) -> Stored | None:
        return await self._bus.read(subjects.queue_stream(key.shard), key.record, leader=True)

    async def _write(self, right: Place, stored: Stored, expect: int) -> None:
        await self._bus.append(
            right.key.record, stored.data, headers=right.headers, expect=expect, replace=expect > 0
        )

    async def _move(self, right: Place, stored: Stored) -> None:
        """May be repeated: what is at the new place already is this record, or further on."""
        try:
            await self._write(right, stored, 0)
        except Conflict:
            there = await self._read(right.key)
            if there is None:
                raise Unavailable(f"{right.key.record} is there and is not") from None
            if _attempts(there) < _attempts(stored):
                await self._write(right, stored, there.seq)
        old = subjects.key_of(stored.subject)
        await self._bus.purge(subjects.queue_stream(old.shard), stored.subject)


def _attempts(stored: Stored) -> int:
    """Of two records of the same unit, the one tried more often is further on."""
    try:
        return record.decode(stored.headers.get(record.HEADER)).attempts
    except UnreadableRecord:
        return -1
