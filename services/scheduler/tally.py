"""Counts of a shard's units, kept while they come and go, so that no question walks them. Pure.

A change costs O(1); the longest lines cost O(sqrt(units)) to find.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass

from tubepost.record import Record, State
from tubepost.subjects import CHANNELS


class Ranking:
    """How often each name is there, and which are there most."""

    __slots__ = ("_count", "_names", "total")

    def __init__(self) -> None:
        self.total = 0
        self._count: dict[str, int] = {}
        self._names: dict[int, dict[str, None]] = {}

    def __getitem__(self, name: str) -> int:
        return self._count.get(name, 0)

    def __len__(self) -> int:
        return len(self._count)

    def add(self, name: str, more: int) -> None:
        """`more`: 1 or -1."""
        self.total += more
        old = self._count.get(name, 0)
        new = old + more
        if old:
            names = self._names[old]
            del names[name]
            if not names:
                del self._names[old]
        if new:
            self._count[name] = new
            self._names.setdefault(new, {})[name] = None
        else:
            del self._count[name]

    def top(self, most: int) -> list[tuple[str, int]]:
        """The names that are there most often. Few numbers differ: 1,414 in a million units."""
        found: list[tuple[str, int]] = []
        for count in heapq.nlargest(most, self._names):
            for name in self._names[count]:
                if len(found) == most:
                    return found
                found.append((name, count))
        return found


@dataclass(frozen=True, slots=True)
class Destined:
    """How many units of the queue go to one destination."""

    channel: str
    destination: str
    units: int


class Tally:
    """`messages`: mails, a group of units counting once. `unprocessed`: mails not split yet."""

    __slots__ = ("by_destination", "messages", "states")

    def __init__(self) -> None:
        self.messages = 0
        self.states: defaultdict[State, int] = defaultdict(int)
        self.by_destination = {channel: Ranking() for channel in CHANNELS}

    @property
    def unprocessed(self) -> int:
        return self.states[State.SPLIT]

    def came(self, record: Record) -> None:
        self._count(record, 1)

    def went(self, record: Record) -> None:
        self._count(record, -1)

    def changed(self, old: Record, new: Record) -> None:
        """A newer version of a record; what it counts for is mostly the same."""
        same = old.destination == new.destination and old.channel == new.channel
        if same and (old.group is None) == (new.group is None):
            self.states[old.state] -= 1
            self.states[new.state] += 1
        else:
            self.went(old)
            self.came(new)

    def top(self, most: int) -> list[Destined]:
        """The destinations with the most units, the longest first."""
        found = [
            Destined(channel, name, units)
            for channel, ranking in self.by_destination.items()
            for name, units in ranking.top(most)
        ]
        return heapq.nlargest(most, found, key=lambda one: one.units)

    def units_to(self, channel: str, destination: str) -> int:
        return self.by_destination[channel][destination]

    def _count(self, record: Record, more: int) -> None:
        self.messages += more if record.group is None else 0
        self.states[record.state] += more
        ranking = self.by_destination.get(record.channel)
        if ranking is not None:
            ranking.add(record.destination, more)
