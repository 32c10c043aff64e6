"""The units of one channel that are due, in the order in which they go out. Pure.

A destination whose next unit may not go now stands in no ring: it comes back when a unit of it
does, at its instant, or when the limits change. Everything here costs O(1), or O(log n) for the
instants, whatever waits.
"""

import heapq
from dataclasses import dataclass
from math import inf, isfinite

from services.scheduler.destination import START, UNLIMITED, Destination
from services.scheduler.line import Line
from services.scheduler.tally import Ranking
from services.scheduler.turns import TROUBLE, Turns, rank_of
from tubepost.destination_limits import Table, lookup
from tubepost.record import Held
from tubepost.subjects import Key

TROUBLE_SHARE = 4
"""One slot in so many, at most, is for destinations in trouble."""


@dataclass(slots=True)
class Out:
    """A job that is out: which version of the record, since when (seconds since 1970), and whether
    it takes one of the slots for destinations in trouble."""

    seq: int
    since: float
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of a job says about its destination."""

    reached: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A destination that does not get all it could use, for the operator.

    `limit` and `rate` (deliveries a second) as set, `window` what it is trusted with; nothing goes
    out before `until` (seconds since 1970, 0 = not backed off); `waiting`: units that are due.
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


class _Served(Destination):
    """A destination with its lines by class. `held_up`: in no ring. `troubled_ring`: which rings
    its lines stand in. `oldest`: no unit that waits is older (seconds since 1970)."""

    __slots__ = (
        "held_up",
        "lines",
        "name",
        "oldest",
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
        self.held_up = self.troubled_ring = False
        self.waiting = 0
        self.wake_at = inf
        self.oldest = inf


class Lane:
    """`standing`: the units that wait here, each in the version that waits. `out`: jobs out.
    `failing`: destinations with a failure since their last answer. `table` None: no destination
    has a limit, and nothing is learnt of any."""

    def __init__(self, units: Ranking, *, learns: bool) -> None:
        self._units = units
        self._table: Table | None = {} if learns else None
        self._limit, self._paused = 0, frozenset[str]()
        self._turns = Turns()
        self._destinations: dict[str, _Served] = {}
        self._held_up: dict[str, None] = {}
        self._wakes: list[tuple[float, str]] = []
        self._probes = 0
        self.standing: dict[Key, Held] = {}
        self.out = 0
        self.failing: dict[str, None] = {}
        self.backed_off: set[str] = set()

    def apply(self, limit: int, table: Table, paused: frozenset[str]) -> None:
        """The limits in force from here on. `paused`: destinations that get nothing."""
        self._limit = limit
        if self._table is not None and table is not self._table:
            self._table = table
        self._paused = paused
        for name in list(self._held_up):
            self._enter(self._destinations[name])

    def add(self, held: Held) -> None:
        """A unit is due."""
        record = held.record
        served = self._served(record.destination)
        self.standing[held.key] = held
        rank = rank_of(record)
        line = served.lines[rank]
        if line is None:
            line = served.lines[rank] = Line(served.name)
        line.add(held)
        served.waiting += 1
        served.oldest = min(served.oldest, record.clock_start)
        if line.ring is None and not served.held_up:
            if served.troubled_ring == served.troubled:
                self._turns.enter(line, TROUBLE if served.troubled else rank)
            else:
                self._enter(served)

    def drop(self, held: Held) -> bool:
        """A unit no longer waits here; False where it did not."""
        if self.standing.get(held.key) is not held:
            return False
        del self.standing[held.key]
        served = self._destinations[held.record.destination]
        served.waiting -= 1
        line = served.lines[rank_of(held.record)]
        if line is not None:
            line.left(self.standing)
            if not line.live:
                self._turns.leave(line)
        return True

    def take(self, now: float) -> Held | None:
        """The next unit that may go out; it no longer waits. None = none may now."""
        if not self.standing or self.out >= self._limit:
            return None
        no_trouble = self._probes >= max(1, self._limit // TROUBLE_SHARE)
        while found := self._turns.next(no_trouble=no_trouble):
            rank, line = found
            served = self._destinations[line.name]
            if self._may_go(served, now):
                held = line.take(self.standing)
                del self.standing[held.key]
                served.waiting -= 1
                self._turns.served(rank, line, no_trouble=no_trouble)
                return held
        return None

    def went_out(self, name: str, seq: int, now: float) -> Out:
        """A job is out for a unit of that destination."""
        served = self._served(name)
        served.went_out(now)
        self.out += 1
        self._probes += served.troubled
        return Out(seq, now, served.troubled)

    def came_back(self, name: str, out: Out) -> None:
        """The job is over."""
        served = self._destinations[name]
        served.came_back()
        self.out -= 1
        self._probes -= out.probe
        if served.held_up:
            self._enter(served)

    def undone(self, name: str) -> None:
        """The job that came back had not been sent."""
        self._destinations[name].undone()

    def learn(self, name: str, sent: float, now: float, verdict: Verdict) -> bool:
        """From a job sent out at `sent`; True where the destination is backed off anew."""
        if self._table is None:
            return False
        served, anew = self._destinations[name], False
        if verdict.reached:
            served.answered()
        else:
            anew = served.failed(sent, now, name, verdict.error)
        self._learnt(served)
        return anew

    def suspect(self, name: str, error: str) -> None:
        """A record says that the destination was not reached the last time."""
        if self._table is not None:
            served = self._served(name)
            served.suspected(error)
            self._learnt(served)

    def reopen(self, name: str) -> None:
        """Forgets what was learnt of a destination: it is tried anew."""
        served = self._destinations.get(name)
        if served:
            served.reopen()
            self._learnt(served)

    def wake(self, now: float) -> None:
        """Brings back the destinations whose instant has come."""
        while self._wakes and self._wakes[0][0] <= now:
            at, name = heapq.heappop(self._wakes)
            served = self._destinations.get(name)
            if served and served.wake_at == at:
                served.wake_at = inf
                if served.held_up:
                    self._enter(served)
                self.forget_idle(name, now)

    @property
    def next_wake(self) -> float:
        """The next instant `wake` has something to do at; inf = none."""
        return self._wakes[0][0] if self._wakes else inf

    def forget_idle(self, name: str, now: float) -> None:
        """Forgets a destination that nothing is out or waits for, once it may be forgotten."""
        served = self._destinations.get(name)
        if served is None or served.out or served.waiting:
            return
        if now < served.remembered_until:
            self._wake_at(served, served.remembered_until)
        elif served.blank or not self._units[name]:
            del self._destinations[name]
            self._held_up.pop(name, None)
            self.failing.pop(name, None)
            self.backed_off.discard(name)

    def waiting_for(self, name: str, born_before: float) -> list[Held]:
        """The units of a destination that wait, if any may be older than that instant.

        Dead ones too. What `oldest` is then has to be told by `older` for those that stay.
        """
        served = self._destinations.get(name)
        if served is None or served.oldest >= born_before:
            return []
        served.oldest = inf
        return [held for line in served.lines if line for held in line.everything()]

    def older(self, name: str, born: float) -> None:
        """A unit of that age stays."""
        served = self._destinations.get(name)
        if served:
            served.oldest = min(served.oldest, born)

    def troubles(self) -> list[Trouble]:
        """The destinations with failures, and those that wait for a place, an instant, a pause."""
        names = dict.fromkeys((*self.failing, *self._held_up))
        return [self._trouble(self._destinations[name]) for name in names]

    def known(self, name: str) -> Trouble | None:
        """One destination, in trouble or not; None where nothing is known of it."""
        served = self._destinations.get(name)
        return self._trouble(served) if served else None

    def _trouble(self, served: _Served) -> Trouble:
        return Trouble(
            name=served.name,
            limit=served.limit.concurrency,
            rate=served.limit.rate,
            window=served.allowed,
            until=served.until,
            failures=served.failures,
            error=served.error,
            out=served.out,
            waiting=served.waiting,
            paused=served.name in self._paused,
        )

    def _served(self, name: str) -> _Served:
        served = self._destinations.get(name)
        if served is None:
            served = self._destinations[name] = _Served(name, self._table)
        return served

    def _may_go(self, served: _Served, now: float) -> bool:
        """Whether a unit of it may go now; if not, it leaves the rings until it may."""
        if served.table is not self._table and self._table is not None:
            served.table, served.limit = self._table, lookup(self._table, served.name)
        at = inf if served.name in self._paused else served.free_at(now)
        if at <= now:
            return True
        for line in served.lines:
            if line:
                self._turns.leave(line)
        served.held_up = True
        self._held_up[served.name] = None
        if isfinite(at):
            self._wake_at(served, at)
        return False

    def _enter(self, served: _Served) -> None:
        """Puts its lines into the rings they belong into."""
        served.held_up = False
        self._held_up.pop(served.name, None)
        served.troubled_ring = served.troubled
        for rank, line in enumerate(served.lines):
            if line and line.live:
                self._turns.leave(line)
                self._turns.enter(line, TROUBLE if served.troubled else rank)

    def _learnt(self, served: _Served) -> None:
        """Keeps the lists of what is in trouble, and the rings, in step."""
        name = served.name
        if served.failures:
            self.failing[name] = None
        else:
            self.failing.pop(name, None)
        if served.backed_off:
            self.backed_off.add(name)
        else:
            self.backed_off.discard(name)
        if served.held_up or served.troubled_ring != served.troubled:
            self._enter(served)

    def _wake_at(self, served: _Served, at: float) -> None:
        if at < served.wake_at:
            served.wake_at = at
            heapq.heappush(self._wakes, (at, served.name))
            if len(self._wakes) > 2 * len(self._destinations) + 64:
                alive = {(d.wake_at, d.name) for d in self._destinations.values()}
                self._wakes = [wake for wake in alive if isfinite(wake[0])]
                heapq.heapify(self._wakes)
