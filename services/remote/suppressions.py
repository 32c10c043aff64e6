"""Recipients that a host refused for good: remembered for a while, and not tried again.

One key each in a bucket that all workers share. They are read by key, a million of them cost this
process nothing; whether one still holds is judged when it is read, so nothing has to sweep them.
The bucket forgets what is older than the longest time that `suppress` can give: by then whatever
an old revision says is over. A removed one stays as a tombstone (tubepost.keyed).
"""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket
from tubepost.ports import Bus, CaughtUp, Clock

NOT_THERE_SECONDS = 60.0
"""How long a recipient that is not suppressed is believed to be so: what another worker has learnt
meanwhile costs one attempt. That one is suppressed is never believed: an operator may have just
removed it."""

NOT_THERE = 10_000
"""Recipients of whom that is known, at most."""

SCAN = 20_000
"""Entries looked at for one page."""

PATIENCE = 20.0
"""Seconds for one page: a bus that is away is followed for ever otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """Times in seconds since 1970. `mail_id`: the refused mail; "" where an operator said it."""

    address: str
    until: float
    at: float
    status: str
    reply: str
    mail_id: str = ""


Page = tuple[Sequence[Suppression], int | None]
"""Suppressions, and where the next page begins, None where there is nothing more."""


def key_for(address: str) -> str:
    """The same for all spellings in capitals: who refuses joe@ refuses Joe@."""
    return sha256(address.lower().encode(errors="surrogatepass")).hexdigest()[:40]


class Suppressions:
    """Raises Unavailable, and StoreFull where it writes."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._bucket = Bucket(bus, subjects.SUPPRESSED)
        self._not_there: dict[str, float] = {}

    async def of(self, addresses: Iterable[str]) -> dict[str, Suppression]:
        """Those of the addresses that are suppressed now."""
        asked = [a for a in addresses if self._not_there.get(key_for(a), 0.0) <= self._clock()]
        found = await asyncio.gather(*(self.get(address) for address in asked))
        self._note_absent(a for a, held in zip(asked, found, strict=True) if held is None)
        return {a: held for a, held in zip(asked, found, strict=True) if held is not None}

    async def get(self, address: str) -> Suppression | None:
        """The one that holds now; by the leader's word, for a mail may fail by it."""
        stream = subjects.bucket_stream(subjects.SUPPRESSED)
        subject = subjects.bucket_key(subjects.SUPPRESSED, key_for(address))
        held = None
        for leader in (False, True):
            found = await self._bus.read(stream, subject, leader=leader)
            held = self._holding(found.data) if found else None
            if held is None:
                break
        return held

    async def add(self, suppression: Suppression) -> None:
        """Replaces what is known of the address."""
        key = key_for(suppression.address)
        await self._bucket.put(key, asdict(suppression))
        self._not_there.pop(key, None)

    async def remove(self, address: str) -> None:
        """It is tried again from now on."""
        await self._bucket.put(key_for(address), None)

    async def page(self, after: int = 0, *, limit: int, domain: str = "") -> Page:
        """Those that hold, in the order in which they were written; `domain`: only there."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._page(after, limit, domain)
        except TimeoutError as error:
            raise Unavailable(f"{subjects.SUPPRESSED} cannot be read now") from error

    async def _page(self, after: int, limit: int, domain: str) -> Page:
        stream = subjects.bucket_stream(subjects.SUPPRESSED)
        every = subjects.bucket_key(subjects.SUPPRESSED, ">")
        found: list[Suppression] = []
        seen = 0
        async with contextlib.aclosing(self._bus.follow(stream, every, after=after)) as items:
            async for item in items:
                if isinstance(item, CaughtUp):
                    break
                seen += 1
                held = self._holding(item.data)
                if held and (not domain or held.address.lower().endswith("@" + domain)):
                    found.append(held)
                if len(found) == limit or seen == SCAN:
                    return found, item.seq
        return found, None

    def _holding(self, data: bytes) -> Suppression | None:
        """None for one that is over, for a tombstone, and for what is none of ours: it is tried."""
        try:
            value = json.loads(data) if data else {}
            held = Suppression(**{name: value[name] for name in Suppression.__slots__})
            return held if held.until > self._clock() else None
        except (KeyError, TypeError, ValueError):
            return None

    def _note_absent(self, addresses: Iterable[str]) -> None:
        until = self._clock() + NOT_THERE_SECONDS
        for address in addresses:
            self._not_there[key_for(address)] = until
        while len(self._not_there) > NOT_THERE:
            del self._not_there[next(iter(self._not_there))]
