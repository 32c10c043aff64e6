"""One destination as a lane serves it, and when it is to be looked at again. Pure."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from services.scheduler.destination import START, UNLIMITED, Destination
from services.scheduler.line import Line
from services.scheduler.sites import Site
from services.scheduler.turns import TROUBLE
from tubepost.destination_limits import Table, lookup


@dataclass(frozen=True, slots=True)
class Trouble:
    """A destination that does not get all it could use, for the operator.

    `limit` and `rate` (deliveries a second) as set, `window` what it is trusted with; nothing goes
    out before `until` (seconds since 1970, 0 = not backed off); `waiting`: units that are due.
    `site`: the `mx` entry of `destinations` whose limit it waits for, "" where it does not.
    """

    name: str
    limit: int
    rate: float | None
    window: int
    until: float
    failures: int
    error: str
    out: int
    waiting: int
    paused: bool
    site: str = ""


class Served(Destination):
    """A destination with its lines by class. `held_up`: in no ring; `site`: because of what it
    shares with others. `short`: when it was its turn last all its places were taken.
    `troubled_ring`: which rings its lines stand in. `oldest`: no unit that waits is
    older (seconds since 1970)."""

    __slots__ = (
        "held_up",
        "lines",
        "name",
        "oldest",
        "short",
        "site",
        "table",
        "troubled_ring",
        "waiting",
        "wake_at",
    )

    def __init__(self, name: str, table: Table | None) -> None:
        if table is None:
            super().__init__(UNLIMITED, UNLIMITED.concurrency)
        else:
            super().__init__(lookup(table, name), START)
        self.name, self.table = name, table
        self.lines: list[Line | None] = [None] * TROUBLE
        self.held_up = self.troubled_ring = self.short = False
        self.site: Site | None = None
        self.waiting = 0
        self.wake_at = inf
        self.oldest = inf

    def trouble(self, *, paused: bool) -> Trouble:
        """For the operator."""
        return Trouble(
            name=self.name,
            limit=self.limit.concurrency,
            rate=self.limit.rate,
            window=self.allowed,
            until=self.until,
            failures=self.failures,
            error=self.error,
            out=self.out,
            waiting=self.waiting,
            paused=paused,
            site=self.site.name if self.site else "",
        )


class Wakes:
    """The instants at which destinations are to be looked at again, at most one for each."""

    def __init__(self, destinations: Mapping[str, Served]) -> None:
        """`destinations`: the mapping itself, as it changes. What is in it no more is passed by."""
        self._destinations = destinations
        self._heap: list[tuple[float, str]] = []

    @property
    def next(self) -> float:
        """The first of them; inf = none."""
        return self._heap[0][0] if self._heap else inf

    def at(self, served: Served, at: float) -> None:
        """At `at`, or earlier where it is to be looked at before."""
        if at < served.wake_at:
            served.wake_at = at
            heapq.heappush(self._heap, (at, served.name))
            if len(self._heap) > 2 * len(self._destinations) + 64:
                alive = {(d.wake_at, d.name) for d in self._destinations.values()}
                self._heap = [wake for wake in alive if isfinite(wake[0])]
                heapq.heapify(self._heap)

    def due(self, now: float) -> Iterator[Served]:
        """Those whose instant has come."""
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            served = self._destinations.get(name)
            if served and served.wake_at == at:
                served.wake_at = inf
                yield served
