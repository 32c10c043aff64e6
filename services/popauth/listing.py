"""All addresses of a domain, or of all domains, with what stands there. Read when asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from services.popauth.counts import Counts
from tubepost import subjects
from tubepost.directory_values import address_in
from tubepost.keyed import quoted, value_in
from tubepost.ports import Bus, CaughtUp

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """`kind`: as in the directory's values: account, alias, list."""

    address: str
    kind: str


class Listing:
    """Raises Unavailable."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def rows(self, domain: str = "", kind: str = "") -> list[Row]:
        """In order; "" = of any domain, of any kind."""
        pattern = f"account.{quoted(domain) if domain else '*'}.*"
        prefix = subjects.bucket_key(subjects.DIRECTORY, "")
        kinds: dict[str, str] = {}
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        async for item in self._bus.follow(stream, prefix + pattern):
            if isinstance(item, CaughtUp):
                break
            value = value_in(item)
            if value is None:
                kinds.pop(item.subject, None)
            else:
                kinds[item.subject] = str(value.get("kind", "account"))
        every = (Row(str(address_in(s.removeprefix(prefix))), k) for s, k in kinds.items())
        return sorted((row for row in every if kind in ("", row.kind)), key=lambda row: row.address)

    async def counts(self, domain: str, names: Iterator[str]) -> Counts:
        """Of a domain that earlier releases made, without a count. `names`: its alias domains."""
        counts = Counts(domains=sum(1 for _ in names))
        for row in await self.rows(domain):
            counts = counts.plus({"alias": "aliases", "list": "lists"}.get(row.kind, "accounts"), 1)
        return counts


def page(rows: list[Row], after: str, limit: int) -> tuple[list[Row], str]:
    """The rows after an address, and what to give as `after` for those that follow."""
    found = list(islice((row for row in rows if row.address > after), limit + 1))
    more = len(found) > limit
    return found[:limit], found[limit - 1].address if more else ""
