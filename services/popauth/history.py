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
        found: list[Stored] = []
        for key in keys:
            found += await self._of_key(key, since, limit)
        found.sort(key=lambda stored: stored.seq, reverse=True)
        return [_changed(stored) for stored in found[:limit]]

    async def _of_key(self, key: str, since: float, limit: int) -> deque[Stored]:
        newest = deque[Stored](maxlen=limit)
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        subject = subjects.bucket_key(subjects.DIRECTORY, key)
        async for item in self._bus.follow(stream, subject, headers_only=True):
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
