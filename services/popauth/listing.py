"""The addresses of a domain, or of all domains, with what stands there, by pages.

A page costs the names of its domains and a read of each of its own keys: tombstones and earlier
revisions cost nothing, nor do the values of other pages (docs/performance.md).
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from services.popauth.counts import Counts, counts_key, counts_of
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import account_key, address_in
from tubepost.keyed import Unreadable, Value, quoted, value_in
from tubepost.ports import Bus

PAGE = 1_000

MOST_READ = 20_000
"""Keys that one page reads, whatever it finds there: then it ends, and says where to go on."""

AT_ONCE = 200
"""Reads on the way."""

COUNTED = {"alias": "aliases", "list": "lists"}
"""What a domain's count calls a kind; all else are accounts."""

UNREADABLE = "unreadable"

_STREAM = subjects.bucket_stream(subjects.DIRECTORY)
_PREFIX = subjects.bucket_key(subjects.DIRECTORY, "")


@dataclass(frozen=True, slots=True)
class Row:
    """`kind`: as in the directory's values: account, alias, list."""

    address: str
    kind: str


@dataclass(frozen=True, slots=True)
class Page:
    """In order of domains, then of names. `further`: what is `after` for the next; "" = the end."""

    rows: list[Row]
    further: str = ""


class Listing:
    """`domains`: the names of all domains, in order. Raises Unavailable."""

    def __init__(self, bus: Bus, domains: Callable[[], Sequence[str]]) -> None:
        self._bus, self._domains = bus, domains

    async def page(
        self, names: Sequence[str], kind: str = "", after: str = "", limit: int = PAGE
    ) -> Page:
        """Of these domains; "" = of all there are, and of any kind.

        There may be fewer rows than `limit`, or none, before the end. Raises AddressError.
        """
        rows: list[Row] = []
        read = 0
        async for keys in self._pieces(names, kind, after, limit + 1):
            rows += [row for row in await self._rows(keys) if kind in ("", row.kind)]
            if len(rows) > limit:
                return Page(rows[:limit], rows[limit - 1].address)
            read += len(keys)
            if read >= MOST_READ:
                return Page(rows, str(address_in(keys[-1])))
        return Page(rows)

    async def every(self, names: Sequence[str], kind: str = "") -> list[Row]:
        """The rows of all pages: for what has to be said in one answer."""
        return [row async for row in self._every(names, kind)]

    async def counts(self, domain: str, names: Iterator[str]) -> Counts:
        """Of a domain that earlier releases made, without a count. `names`: its alias domains."""
        counts = Counts(domains=sum(1 for _ in names))
        async for row in self._every([domain], ""):
            counts = counts.plus(COUNTED.get(row.kind, "accounts"), 1)
        return counts

    async def _every(self, names: Sequence[str], kind: str) -> AsyncIterator[Row]:
        async for keys in self._pieces(names, kind, "", AT_ONCE):
            for row in await self._rows(keys):
                if kind in ("", row.kind):
                    yield row

    async def _pieces(
        self, names: Sequence[str], kind: str, after: str, most: int
    ) -> AsyncIterator[list[str]]:
        """Keys of addresses, some at a time, in order."""
        last = account_key(parse_address(after)) if after else ""
        size = min(most, AT_ONCE)
        for name in self._in_order(names, last):
            if kind and not await self._may_have(name, kind):
                continue
            keys = await self._keys(name)
            begin = bisect_right(keys, last) if last else 0
            for at in range(begin, len(keys), size):
                yield keys[at : at + size]

    def _in_order(self, names: Sequence[str], last: str) -> list[str]:
        """The domains that keys come after `last` in, as the keys have their order."""
        every = self._domains() if "" in names else names
        found = sorted(every, key=quoted)
        first = last.split(".")[1] if last else ""
        return [name for name in found if quoted(name) >= first]

    async def _may_have(self, domain: str, kind: str) -> bool:
        """A domain without any of a kind, as most are, is not read through for it."""
        counted = await self._value(counts_key(domain), leader=True)
        return counted is None or getattr(counts_of(counted), COUNTED.get(kind, "accounts")) > 0

    async def _keys(self, domain: str) -> list[str]:
        """Those of removed addresses are among them."""
        found = await self._bus.subjects(_STREAM, f"{_PREFIX}account.{quoted(domain)}.*")
        return [subject.removeprefix(_PREFIX) for subject in found]

    async def _rows(self, keys: Sequence[str]) -> list[Row]:
        """Without those where nothing is any more."""
        kinds = await asyncio.gather(*map(self._kind, keys))
        pairs = zip(keys, kinds, strict=True)
        return [Row(str(address_in(key)), kind) for key, kind in pairs if kind]

    async def _kind(self, key: str) -> str:
        """Its name is the leader's word: a replica that knows nothing of it is behind."""
        try:
            value = await self._value(key, leader=False) or await self._value(key, leader=True)
        except Unreadable:
            return UNREADABLE
        return str(value.get("kind", "account")) if value else ""

    async def _value(self, key: str, *, leader: bool) -> Value | None:
        stored = await self._bus.read(_STREAM, _PREFIX + key, leader=leader)
        return value_in(stored) if stored else None
