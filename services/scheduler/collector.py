"""Removes bodies that no record speaks of: left by an smtpd that died while it stored a big mail.

One scheduler does it, the owner of shard 0; two for a moment do no harm. Nothing is removed on the
word of memory, and nothing that is young: its record may be about to be written (qmail, Q-3).
"""

import asyncio

from tubepost import maillog, subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus, Clock
from tubepost.subjects import Key

COLLECTS = 0
"""The shard whose owner collects, for all shards."""


class Collector:
    """`age`: seconds a body is left alone after its last piece was stored."""

    def __init__(self, bus: Bus, shards: int, clock: Clock, age: float) -> None:
        self._bus, self._shards = bus, shards
        self._clock, self._age = clock, age

    async def run(self, every: float) -> None:
        """For ever, every so many seconds."""
        while True:
            try:
                await self.collect()
            except Unavailable as error:
                maillog.bus_error(f"collecting bodies: {error}")
            except Exception:  # noqa: BLE001 - the shard is served all the same
                maillog.bug("collecting bodies")
            await asyncio.sleep(every)

    async def collect(self) -> int:
        """How many were removed. Raises Unavailable; then the rest is left for the next time.

        First the list of bodies, then their records: a record is written after its body, so what
        has none then was not accepted, or has ended.
        """
        names = await self._bus.subjects(subjects.MAIL, subjects.body("*"))
        removed = 0
        for mail_id in dict.fromkeys(name.split(".")[1] for name in names):
            if not self._is_young(mail_id) and not await self._has_record(mail_id):
                removed += await self._remove(mail_id)
        return removed

    def _is_young(self, mail_id: str) -> bool:
        """By its id, which spares the questions. A bounce's id has the time of its mail: older."""
        try:
            made = int(mail_id[:13], 16) / 1000
        except ValueError:
            return False
        return made > self._clock() - self._age

    async def _has_record(self, mail_id: str) -> bool:
        """By the word of every shard's leader."""
        for shard in range(self._shards):
            pattern = Key(shard, mail_id, "*").record
            if await self._bus.subjects(subjects.queue_stream(shard), pattern):
                return True
        return False

    async def _remove(self, mail_id: str) -> bool:
        """Unless a piece is young, by the time the store took it; or comes just now."""
        newest = await self._bus.read(subjects.MAIL, subjects.body(mail_id), leader=True)
        if newest is None or newest.at > self._clock() - self._age:
            return False
        await self._bus.purge(subjects.MAIL, subjects.body(mail_id), through=newest.seq)
        maillog.body_collected(mail_id, self._clock() - newest.at)
        return True
