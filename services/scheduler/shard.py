"""What an owner knows of its shard, and what is to be done next. Pure: no I/O, time is an argument.

Every operation costs O(1), or O(log n) for the heap, whatever the length of the queue.

A pending unit is in one place: `later` (its time has not come), `ready` (waiting for a slot) or
`out` (a job is out for it). Ready units wait per destination, and destinations take turns, so that
a long line at one does not delay the others.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tubepost.record import Held, Record, State
from tubepost.subjects import CHANNELS, Key

SETTLED_BY_OWNER = frozenset({State.BOUNCE, State.DONE, State.SPLIT, State.GROUP})


@dataclass(frozen=True, slots=True)
class Limits:
    """`channel`: deliveries of this shard at once. `destination`: to one remote destination."""

    channel: Mapping[str, int]
    destination: int


@dataclass(slots=True)
class Out:
    """A job that is out: which version of the record, since when (seconds since 1970)."""

    seq: int
    since: float


class Lane:
    """The ready units of one channel: a line for each destination, taking turns."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Key]] = OrderedDict()
        self._full: dict[str, deque[Key]] = {}
        self._out: dict[str, int] = {}
        self.total_out = 0

    def add(self, destination: str, key: Key) -> None:
        line = self._full.get(destination) or self._lines.setdefault(destination, deque())
        line.append(key)

    def take(self, limit: int, per_destination: int) -> Key | None:
        """The next unit that may go out, or None. `per_destination` 0 = no limit."""
        while self._lines and self.total_out < limit:
            destination, line = self._lines.popitem(last=False)
            if per_destination and self._out.get(destination, 0) >= per_destination:
                self._full[destination] = line
                continue
            key = line.popleft()
            if line:
                self._lines[destination] = line
            return key
        return None

    def went_out(self, destination: str) -> None:
        self._out[destination] = self._out.get(destination, 0) + 1
        self.total_out += 1

    def came_back(self, destination: str) -> None:
        self.total_out -= 1
        left = self._out[destination] - 1
        if left:
            self._out[destination] = left
        else:
            del self._out[destination]
        line = self._full.pop(destination, None)
        if line:
            self._lines[destination] = line


class Shard:
    """The units of one shard and where each waits."""

    def __init__(self) -> None:
        self.units: dict[Key, Held] = {}
        self.out: dict[Key, Out] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._lanes = {channel: Lane() for channel in CHANNELS}
        self._queued: set[Key] = set()

    def put(self, held: Held) -> bool:
        """A record was written. True where the owner itself has to settle it now."""
        known = self.units.get(held.key)
        if known and known.seq >= held.seq:
            return False
        self._back(held.key)
        self.units[held.key] = held
        if held.record.state is State.PENDING:
            heapq.heappush(self._later, (held.record.next_attempt, held.seq, held.key))
            self._queued.discard(held.key)
        return held.record.state in SETTLED_BY_OWNER

    def gone(self, key: Key, seq: int) -> Record | None:
        """The version `seq` of a record is no longer there; the record, if it was known."""
        known = self.units.get(key)
        if known is None or known.seq > seq:
            return None
        self._back(key)
        self._queued.discard(key)
        return self.units.pop(key).record

    def due(self, now: float, limits: Limits, most: int = 256) -> list[Held]:
        """Units to send out now; they count as out from here on."""
        self._wake(now)
        found: list[Held] = []
        for channel, lane in self._lanes.items():
            per_destination = limits.destination if channel == "remote" else 0
            while len(found) < most and (
                key := lane.take(limits.channel[channel], per_destination)
            ):
                held = self._claim(key, now)
                if held:
                    found.append(held)
        return found

    def next_due(self) -> float | None:
        """When the first unit that still has to wait for its time is due."""
        return self._later[0][0] if self._later else None

    def held_by_worker(self, keys: Iterable[Key], now: float) -> None:
        """These are being delivered right now, as their workers say."""
        for key in keys:
            held = self.units.get(key)
            if held and held.record.state is State.PENDING and key not in self.out:
                self._send(held, now)

    def put_back(self, key: Key, at: float) -> None:
        """The job could not be sent out, or is lost: again at `at`."""
        held = self.units.get(key)
        self._back(key)
        if held and held.record.state is State.PENDING:
            heapq.heappush(self._later, (at, held.seq, key))
            self._queued.discard(key)

    def out_since(self, before: float) -> list[Held]:
        """Units whose job has been out since before that instant."""
        return [self.units[key] for key, out in self.out.items() if out.since < before]

    def used(self, channel: str) -> int:
        return self._lanes[channel].total_out

    def _wake(self, now: float) -> None:
        """Moves what is due from the heap to the lanes; entries of older versions fall out."""
        while self._later and self._later[0][0] <= now:
            _, seq, key = heapq.heappop(self._later)
            held = self.units.get(key)
            if held and held.seq == seq and key not in self.out and key not in self._queued:
                self._queued.add(key)
                self._lanes[held.record.channel].add(held.record.destination, key)

    def _claim(self, key: Key, now: float) -> Held | None:
        held = self.units.get(key)
        if key not in self._queued or held is None:
            return None  # it ended, or changed, while it stood in line
        self._queued.discard(key)
        if key in self.out or held.record.state is not State.PENDING:
            return None
        self._send(held, now)
        return held

    def _send(self, held: Held, now: float) -> None:
        self.out[held.key] = Out(held.seq, now)
        self._lanes[held.record.channel].went_out(held.record.destination)

    def _back(self, key: Key) -> None:
        if self.out.pop(key, None) is not None:
            record = self.units[key].record
            self._lanes[record.channel].came_back(record.destination)
