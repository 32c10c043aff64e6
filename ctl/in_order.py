"""Puts what comes from several services back into the order of time. Pure.

Each service sends what it tells a moment later, so a delivery may be heard of before the arrival
of its mail. What has come is held for a while; what belongs before it is then most likely there.
"""

import heapq
import itertools
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
When = tuple[float, int]
"""Seconds since 1970, and a rank among what has the same instant."""


class InOrder(Generic[T]):
    """`hold`: seconds an item waits for earlier ones. `now` is any clock that only goes forward."""

    def __init__(self, hold: float) -> None:
        self._hold = hold
        self._number = itertools.count()
        self._waiting: list[tuple[When, int, T]] = []
        self._arrived: list[tuple[float, When]] = []

    def add(self, items: Iterable[tuple[When, T]], now: float) -> None:
        """These have come."""
        for when, item in items:
            heapq.heappush(self._waiting, (when, next(self._number), item))
            self._arrived.append((now, when))

    def ready(self, now: float) -> list[T]:
        """Those that have waited long enough, and what belongs before them."""
        due = [when for arrived, when in self._arrived if arrived + self._hold <= now]
        if not due:
            return []
        self._arrived = self._arrived[len(due) :]
        newest, found = max(due), []
        while self._waiting and self._waiting[0][0] <= newest:
            found.append(heapq.heappop(self._waiting)[2])
        return found

    def rest(self) -> list[T]:
        """All that waits."""
        self._arrived.clear()
        found = [item for _, _, item in sorted(self._waiting, key=lambda entry: entry[:2])]
        self._waiting.clear()
        return found

    def patience(self, now: float) -> float | None:
        """Seconds until something is ready; None where nothing waits."""
        return max(0.0, self._arrived[0][0] + self._hold - now) if self._waiting else None
