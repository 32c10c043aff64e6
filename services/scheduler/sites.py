"""Limits that destinations share because the same hosts take their mail. Pure.

All shards of a process count together; a process has as much of a limit as it has of the shards,
and one delivery at least.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.scheduler.destination import UNLIMITED, Destination
from tubepost.destination_limits import Limit, Table, shared, site_of

MOST = 50_000
"""Destinations whose hosts are kept in mind; the ones learnt first are asked for anew."""

MOST_ASKED = 10_000
"""Destinations asked for at a time; the others wait for their next turn."""

Called = Callable[[], None]
"""Says that there is room again to whoever waits for it."""


class Site(Destination):
    """The limit one `mx` entry of `destinations` sets. `waiting`: who is to be called."""

    __slots__ = ("name", "waiting")

    def __init__(self, name: str, limit: Limit) -> None:
        super().__init__(limit, UNLIMITED.concurrency)
        self.name = name
        self.waiting: dict[Called, None] = {}

    def room(self, now: float) -> int:
        """How many units may go out now."""
        opens = self.opens_at(now)
        if self.full or opens > now:
            return 0
        places, rate = self.allowed - self.out, self.limit.rate
        return min(places, int((now - opens) * rate) + 1) if rate else places

    def came_back(self) -> None:
        """A unit that was out is over; those who wait longest hear it first."""
        super().came_back()
        self.call()

    def call(self) -> None:
        """There may be room."""
        for called in list(self.waiting):
            called()
        if len(self.waiting) > 1:
            first = next(iter(self.waiting))
            del self.waiting[first]
            self.waiting[first] = None


@dataclass(slots=True)
class _Known:
    """The best mail hosts of a destination, looked up until `until`; `site`: by which `table`."""

    hosts: tuple[str, ...]
    until: float
    table: Table | None = None
    site: Site | None = None


class Sites:
    """`ask`: called with a destination whose hosts have to be looked up; `learn` ends that."""

    def __init__(self, ask: Callable[[str], None]) -> None:
        self._ask = ask
        self._source: Table = {}
        self._part = (0, 1)
        self._limits: Table = {}
        self._sites: dict[str, Site] = {}
        self._known: dict[str, _Known] = {}
        self._asked: set[str] = set()

    def __bool__(self) -> bool:
        """Whether any limit is shared: where none is, nobody is asked for anything."""
        return bool(self._limits)

    def apply(self, table: Table, owned: int, shards: int) -> None:
        """The limits in force from here on, of which this process has `owned` / `shards`."""
        if table is self._source and (owned, shards) == self._part:
            return
        if table is not self._source:
            self._source, self._limits = table, shared(table)
        self._part = owned, shards
        before, self._sites = self._sites, {}
        for name, limit in self._limits.items():
            site = self._sites[name] = before.get(name) or Site(name, limit)
            site.limit = _part(limit, owned, shards)
            site.call()

    def of(self, destination: str, now: float) -> Site | None:
        """What it shares; None where that is nothing, or not known yet."""
        known = self._known.get(destination)
        if known is None or known.until <= now:
            self._want(destination)
        if known is None:
            return None
        if known.table is not self._limits:
            known.table = self._limits
            name = site_of(self._limits, known.hosts)
            known.site = self._sites[name] if name is not None else None
        return known.site

    def learn(self, destination: str, hosts: Iterable[str] | None, until: float) -> None:
        """Its best mail hosts, good until then; None = nobody knows: what was known stays."""
        self._asked.discard(destination)
        before = self._known.pop(destination, None)
        if hosts is None:
            hosts = before.hosts if before else ()
        self._known[destination] = _Known(tuple(hosts), until)
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def _want(self, destination: str) -> None:
        if destination not in self._asked and len(self._asked) < MOST_ASKED:
            self._asked.add(destination)
            self._ask(destination)


def _part(limit: Limit, owned: int, shards: int) -> Limit:
    rate = limit.rate * owned / shards if limit.rate and owned else limit.rate
    return Limit(max(1, limit.concurrency * owned // shards), rate)
