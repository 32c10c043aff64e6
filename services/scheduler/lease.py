"""Which scheduler owns a shard: one key per shard that its owner renews and that ends by itself.

An optimisation, not the safety: for a moment two may think they own a shard, and the queue's
compare-and-set keeps that harmless.
"""

import asyncio
from collections.abc import Callable

from tubepost import subjects
from tubepost.errors import Conflict, StoreFull, Unavailable
from tubepost.ports import Bus

TTL = 10.0
"""Seconds after which a dead owner's shard is free."""

RENEW = 3.0
"""Seconds between two renewals."""


class Lease:
    """The lease of one shard, as seen by the scheduler `holder`."""

    def __init__(self, bus: Bus, shard: int, holder: str, wanted: Callable[[], None]) -> None:
        """`wanted` is called when the store of leases does not answer: it may have to be made."""
        self._bus, self._wanted = bus, wanted
        self._subject = subjects.lease(shard)
        self._holder = holder
        self._revision = 0

    async def take(self) -> bool:
        """Whether it is ours now. Raises Unavailable."""
        try:
            self._revision = await self._write(0)
        except Conflict:
            return False
        return True

    async def keep(self) -> str:
        """Renews the lease; returns why once it is lost."""
        clock = asyncio.get_running_loop().time
        good_until = clock() + TTL
        while True:
            await asyncio.sleep(RENEW)
            try:
                self._revision = await self._renewed()
                good_until = clock() + TTL
            except Conflict:
                return "another scheduler has it"
            except Unavailable as error:
                self._wanted()
                if clock() > good_until - RENEW:
                    return str(error)

    async def _renewed(self) -> int:
        """The new revision. The store of leases may have begun empty: then it is still ours."""
        try:
            return await self._write(self._revision)
        except Conflict:
            return await self._write(0)

    async def release(self) -> None:
        """Frees the shard at once. The bus being away only makes the next owner wait."""
        try:
            await self._bus.purge(
                subjects.bucket_stream(subjects.LEASES), self._subject, through=self._revision
            )
        except Unavailable:
            return

    async def _write(self, expect: int) -> int:
        holder = self._holder.encode()
        try:
            return await self._bus.append(self._subject, holder, expect=expect, ttl=TTL)
        except StoreFull as error:
            raise Unavailable(str(error)) from error
