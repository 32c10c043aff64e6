"""Who changed what: the last 16 changes of each domain and address, as changes.py wrote them.

Only headers are read: no value, and so no hash, comes near it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from services.popauth.changes import ACTION, ACTOR, DIFF
from tubepost import subjects
from tubepost.address import Address
from tubepost.directory_values import account_key, address_in, domain_in, domain_key
from tubepost.keyed import quoted
from tubepost.ports import Bus, CaughtUp, Stored

REACH = 5_000
"""Changes of the whole directory, the last ones, that are looked at first."""

SLACK = 1.0
"""Seconds: the bus has the time of a change more exactly than a float."""

_STREAM = subjects.bucket_stream(subjects.DIRECTORY)

BEFORE = "changed by an earlier release"


@dataclass(frozen=True, slots=True)
class Changed:
    """`at`: seconds since 1970. `what`: the domain or the address; `diff`: in words."""

    at: float
    actor: str
    action: str
    what: str
    diff: str


class History:
    """Raises Unavailable."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of_address(self, address: Address, since: float, limit: int) -> list[Changed]:
        """Newest first."""
        return await self._newest([account_key(address)], since, limit)

    async def of_domains(self, names: Sequence[str], since: float, limit: int) -> list[Changed]:
        """Of domains and of all their addresses, newest first; "" = of all there are."""
        keys = []
        for name in names:
            keys += [domain_key(name) if name else "domain.*"]
            keys += [f"account.{quoted(name) if name else '*'}.*"]
        return await self._newest(keys, since, limit)

    async def _newest(self, keys: Sequence[str], since: float, limit: int) -> list[Changed]:
        """Looks back from now, further each time, until there are enough."""
        floor = await self._bus.position(_STREAM, since=since - SLACK) if since > SLACK else 0
        last, reach = await self._bus.position(_STREAM), REACH
        while True:
            after = max(floor, last - reach)
            found = await self._after(after, keys, since, limit)
            if len(found) >= limit or after == floor:
                return [_changed(stored) for stored in found]
            reach *= 8

    async def _after(
        self, after: int, keys: Sequence[str], since: float, limit: int
    ) -> list[Stored]:
        found: list[Stored] = []
        for key in keys:
            found += await self._of_key(key, after, since, limit)
        return sorted(found, key=lambda stored: stored.seq, reverse=True)[:limit]

    async def _of_key(self, key: str, after: int, since: float, limit: int) -> deque[Stored]:
        newest = deque[Stored](maxlen=limit)
        subject = subjects.bucket_key(subjects.DIRECTORY, key)
        async for item in self._bus.follow(_STREAM, subject, after=after, headers_only=True):
            if isinstance(item, CaughtUp):
                break
            if item.at >= since:
                newest.append(item)
        return newest


def _changed(stored: Stored) -> Changed:
    key = stored.subject.removeprefix(subjects.bucket_key(subjects.DIRECTORY, ""))
    what = domain_in(key) if key.startswith("domain.") else str(address_in(key))
    said = {name: unquote(stored.headers.get(name, "")) for name in (ACTOR, ACTION, DIFF)}
    return Changed(stored.at, said[ACTOR], said[ACTION] or BEFORE, what, said[DIFF])
