"""How often each client did what lately, over all processes of smtpd. Pure.

Time is cut into slots, a tenth of a rate's period each. For every (kind, who) each process counts
what happened with it in a slot; a count only grows, and the others keep the highest they heard of.
So a message that comes twice, late or out of order does no harm, and one that is lost is made up
for by the next of its slot. What counts is the slot that runs and the ten before it: never more
than the limit in any period, and forgotten a tenth of the period late at most.

Clocks of the processes have to agree to within a slot.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from itertools import islice

from tubepost.rate_limits import KINDS, Limit, Limits

SLOTS = 10

MOST_CLIENTS = 10_000
"""Clients counted of one kind; then the one with least of the OLDEST gives way."""

OLDEST = 8

Row = tuple[str, str, int, str, int, int]
"""One count: process, kind, period, who, slot, how many."""


def network_of(ip: str) -> str:
    """Whom an address stands for: itself, or its /64, since an IPv6 host has all of that."""
    return ip if ":" not in ip else f"{IPv6Address(int(IPv6Address(ip)) >> 64 << 64)}/64"


class Tally:
    """The counts of one (kind, who): process -> slot -> how many."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[str, dict[int, int]] = {}

    def total(self, since: int) -> int:
        return sum(n for slots in self.parts.values() for at, n in slots.items() if at >= since)

    @property
    def newest(self) -> int:
        return max((at for slots in self.parts.values() for at in slots), default=0)

    def put(self, process: str, slot: int, count: int, since: int) -> None:
        """Writes a count; where it begins a slot, those that are over go."""
        slots = self.parts.get(process)
        if slots is None or slot not in slots:
            self._forget_before(since)
            slots = self.parts.setdefault(process, {})
        slots[slot] = count

    def _forget_before(self, since: int) -> None:
        left = {
            process: {at: n for at, n in slots.items() if at >= since}
            for process, slots in self.parts.items()
        }
        self.parts = {process: slots for process, slots in left.items() if slots}


@dataclass(slots=True)
class Window:
    """The tallies of one kind, the one touched last at the end."""

    period: int
    tallies: dict[str, Tally] = field(default_factory=dict)

    def slot(self, now: float) -> int:
        return int(now * SLOTS / self.period)

    def since(self, now: float) -> int:
        """The oldest slot that counts."""
        return self.slot(now) - SLOTS

    def touched(self, who: str, now: float) -> Tally:
        """The tally of `who`, at the end of the line; a new one where there is none."""
        tally = self.tallies.pop(who, None)
        if tally is None:
            self._make_room(now)
            tally = Tally()
        self.tallies[who] = tally
        return tally

    def _make_room(self, now: float) -> None:
        if len(self.tallies) < MOST_CLIENTS:
            return
        self.expire(now)
        if len(self.tallies) >= MOST_CLIENTS:
            since = self.since(now)
            oldest = islice(self.tallies, OLDEST)
            del self.tallies[min(oldest, key=lambda who: self.tallies[who].total(since))]

    def expire(self, now: float) -> None:
        """Forgets from the front whoever did nothing for a whole period."""
        since = self.since(now)
        while self.tallies:
            who = next(iter(self.tallies))
            if self.tallies[who].newest >= since:
                return
            del self.tallies[who]


@dataclass(frozen=True, slots=True)
class Standing:
    """How near to a limit somebody is."""

    kind: str
    who: str
    count: int
    limit: int
    seconds: int


class Rates:
    """All windows. `name`: this process among the others; never used again by a later one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._windows: dict[str, Window] = {}
        self._changed: dict[tuple[str, str, int], None] = {}

    def __len__(self) -> int:
        return sum(len(window.tallies) for window in self._windows.values())

    def count(self, kind: str, limit: Limit, who: str, now: float) -> int:
        """How often it happened in the period that ends now."""
        window = self._window(kind, limit.period)
        tally = window.tallies.get(who)
        return tally.total(window.since(now)) if tally else 0

    def add(self, kind: str, limit: Limit, who: str, now: float) -> None:
        """It happened once more, here."""
        window = self._window(kind, limit.period)
        slot = window.slot(now)
        tally = window.touched(who, now)
        count = tally.parts.get(self.name, {}).get(slot, 0) + 1
        tally.put(self.name, slot, count, slot - SLOTS)
        self._changed[kind, who, slot] = None

    def merge(self, rows: Iterable[Row], now: float) -> None:
        """What another process told. A limit with another period than ours is not comparable."""
        for process, kind, period, who, slot, count in rows:
            if process == self.name or kind not in KINDS:
                continue
            window = self._windows.setdefault(kind, Window(period))
            since = window.since(now)
            if period != window.period or not since <= slot <= since + SLOTS + 1:
                continue
            known = window.tallies.get(who)
            if known is None or known.parts.get(process, {}).get(slot, 0) < count:
                window.touched(who, now).put(process, slot, count, since)

    def changed(self) -> Iterator[Row]:
        """Our own counts that are new since this was asked last."""
        changed, self._changed = self._changed, {}
        for kind, who, slot in changed:
            window = self._windows.get(kind)
            tally = window.tallies.get(who) if window else None
            count = tally.parts.get(self.name, {}).get(slot) if tally else None
            if window and count:
                yield self.name, kind, window.period, who, slot, count

    def forget_changed(self) -> None:
        """Nobody can be told now; whoever comes back is told everything."""
        self._changed = {}

    def rows(self, *, of_others: bool) -> Iterator[Row]:
        """Our own counts, or all that are known, those touched last first."""
        for kind, window in self._windows.items():
            for who, tally in reversed(window.tallies.items()):
                for process, slots in tally.parts.items():
                    if of_others or process == self.name:
                        for slot, count in slots.items():
                            yield process, kind, window.period, who, slot, count

    def expire(self, now: float) -> None:
        """Forgets what no longer counts."""
        for window in self._windows.values():
            window.expire(now)

    def nearest(self, limits: Limits, now: float, most: int) -> list[Standing]:
        """Who is over a limit or nearest to it."""
        found = (
            Standing(kind, who, count, limit.most, limit.period)
            for kind, limit in limits.items()
            for who in self._window(kind, limit.period).tallies
            if (count := self.count(kind, limit, who, now))
        )
        return heapq.nlargest(most, found, key=lambda one: one.count / one.limit)

    def _window(self, kind: str, period: int) -> Window:
        """A kind's window; begun anew where the setting has another period now."""
        window = self._windows.get(kind)
        if window is None or window.period != period:
            window = self._windows[kind] = Window(period)
        return window


def encoded(teller: str, rows: Iterable[Row]) -> bytes:
    """A message: who tells it, then counts. It begins with `prefix(teller)`."""
    return prefix(teller) + json.dumps([*rows], separators=(",", ":")).encode()


def prefix(teller: str) -> bytes:
    return f"{teller} ".encode()


def parse(data: bytes) -> list[Row] | None:
    """The counts of a message; None where another release wrote something else."""
    try:
        rows = json.loads(data.partition(b" ")[2])
        return [
            (str(process), str(kind), int(period), str(who), int(slot), int(count))
            for process, kind, period, who, slot, count in rows
            if int(period) > 0
        ]
    except (ValueError, TypeError, OverflowError):
        return None
