"""The units of one channel that are due, in the order in which they go out. Pure.

A destination whose next unit may not go now stands in no ring: it comes back when a unit of it
does, at its instant, or when the limits change. Everything here costs O(1), or O(log n) for the
instants, whatever waits.
"""

from dataclasses import dataclass
from itertools import islice
from math import inf, isfinite

from services.scheduler.line import Line
from services.scheduler.served import Served, Trouble, Wakes
from services.scheduler.sites import Called, Site, Sites
from services.scheduler.tally import Ranking
from services.scheduler.turns import TROUBLE, Turns, rank_of
from tubepost.destination_limits import Table, lookup
from tubepost.record import Held
from tubepost.subjects import Key

TROUBLE_SHARE = 4
"""One slot in so many, at most, is for destinations in trouble."""

BATCH = 10
"""Places that came free, and are waited for, with which units are handed out before the end of a
round. Fewer do where the others that are out are no more than they."""


@dataclass(slots=True)
class Out:
    """A job that is out: which version of the record, since when (seconds since 1970), and whether
    it takes one of the slots for destinations in trouble. `site`: whose limit it counts for."""

    seq: int
    since: float
    probe: bool = False
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of a job says about its destination.

    `throttled`: it answered that it gets too much. `opens`: none of its hosts is tried before that.
    """

    reached: bool
    error: str = ""
    throttled: bool = False
    opens: float = 0.0


class Lane:
    """`standing`: the units that wait here, each in the version that waits. `out`: jobs out.
    `failing`: destinations with a failure since their last answer. `freed`: places that came free
    since the last `wake`, of those that units waited for. `table` None: no destination has a
    limit, and nothing is learnt of any."""

    def __init__(self, units: Ranking, *, learns: bool, called: Called = lambda: None) -> None:
        """`called`: says that `take` may find something again, as another lane has made room."""
        self._units, self._called = units, called
        self._table: Table | None = {} if learns else None
        self._limit, self._paused = 0, frozenset[str]()
        self._turns = Turns()
        self._destinations: dict[str, Served] = {}
        self._held_up: dict[str, None] = {}
        self._sites: Sites | None = None
        self._waiting: dict[Site, dict[str, None]] = {}
        self._wakes = Wakes(self._destinations)
        self._probes = 0
        self._full = False
        self.freed = 0
        self.standing: dict[Key, Held] = {}
        self.out = 0
        self.failing: dict[str, None] = {}
        self.backed_off: set[str] = set()

    def apply(
        self, limit: int, table: Table, paused: frozenset[str], sites: Sites | None = None
    ) -> None:
        """The limits in force from here on. `paused`: destinations that get nothing."""
        self._limit = limit
        if self._table is not None:
            self._table, self._sites = table, sites
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
        if not self.standing:
            return None
        no_trouble = self._probes >= max(1, self._limit // TROUBLE_SHARE)
        while found := self._turns.next(no_trouble=no_trouble):
            if self.out >= self._limit:
                self._full = True
                return None
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
        site = self._site_of(served, now)
        if site:
            site.went_out(now)
        return Out(seq, now, served.troubled, site)

    def came_back(self, name: str, out: Out) -> None:
        """The job is over."""
        served = self._destinations[name]
        served.came_back()
        self.out -= 1
        self._probes -= out.probe
        if served.short or self._full or (out.site and out.site in self._waiting):
            self.freed += 1
        if out.site:
            out.site.came_back()
        if served.held_up and not served.site:
            self._enter(served)

    def undone(self, name: str, out: Out) -> None:
        """The job that came back had not been sent."""
        self._destinations[name].undone()
        if out.site:
            out.site.undone()

    def close(self) -> None:
        """Nothing goes out from here any more: others need not wait for it, nor call."""
        for site in self._waiting:
            site.waiting.pop(self._called, None)

    def learn(self, name: str, sent: float, now: float, verdict: Verdict) -> bool:
        """From a job sent out at `sent`; True where the destination is backed off anew."""
        if self._table is None:
            return False
        served, anew = self._destinations[name], False
        if not verdict.reached:
            anew = served.failed(sent, now, name, verdict.error, verdict.opens)
        elif verdict.throttled:
            served.throttled(sent, now)
        else:
            served.answered()
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
        """Brings back the destinations whose instant has come, and as many as there is room for."""
        self.freed, self._full = 0, False
        for served in self._wakes.due(now):
            if served.held_up:
                self._enter(served)
            self.forget_idle(served.name, now)
        for site, names in list(self._waiting.items()):
            for name in list(islice(names, site.room(now))):
                self._enter(self._destinations[name])

    @property
    def refills(self) -> bool:
        """Whether so many places came free that units should not wait for the next round."""
        return self.freed > 0 and self.freed >= min(BATCH, self.out)

    @property
    def next_wake(self) -> float:
        """The next instant `wake` has something to do at; inf = none."""
        rooms = (site.opens for site in self._waiting if site.out < site.allowed)
        return min(self._wakes.next, min(rooms, default=inf))

    def forget_idle(self, name: str, now: float) -> None:
        """Forgets a destination that nothing is out or waits for, once it may be forgotten."""
        served = self._destinations.get(name)
        if served is None or served.out or served.waiting:
            return
        if now < served.remembered_until:
            self._wakes.at(served, served.remembered_until)
        elif served.blank or not self._units[name]:
            del self._destinations[name]
            self._no_longer_held_up(served)
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
        served = (self._destinations[name] for name in names)
        return [one.trouble(paused=one.name in self._paused) for one in served]

    def known(self, name: str) -> Trouble | None:
        """One destination, in trouble or not; None where nothing is known of it."""
        served = self._destinations.get(name)
        return served.trouble(paused=name in self._paused) if served else None

    def _served(self, name: str) -> Served:
        served = self._destinations.get(name)
        if served is None:
            served = self._destinations[name] = Served(name, self._table)
        return served

    def _may_go(self, served: Served, now: float) -> bool:
        """Whether a unit of it may go now; if not, it leaves the rings until it may."""
        if served.table is not self._table and self._table is not None:
            served.table, served.limit = self._table, lookup(self._table, served.name)
        at = inf if served.name in self._paused else served.free_at(now)
        if at <= now:
            site = self._site_of(served, now)
            if site is None or site.free_at(now) <= now:
                served.short = False
                return True
            self._wait_for(site, served)
            at = inf
        served.short = served.full and not served.troubled
        for line in served.lines:
            if line:
                self._turns.leave(line)
        served.held_up = True
        self._held_up[served.name] = None
        if isfinite(at):
            self._wakes.at(served, at)
        return False

    def _enter(self, served: Served) -> None:
        """Puts its lines into the rings they belong into."""
        self._no_longer_held_up(served)
        served.troubled_ring = served.troubled
        for rank, line in enumerate(served.lines):
            if line and line.live:
                self._turns.leave(line)
                self._turns.enter(line, TROUBLE if served.troubled else rank)

    def _learnt(self, served: Served) -> None:
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
        if not served.site and (served.held_up or served.troubled_ring != served.troubled):
            self._enter(served)

    def _site_of(self, served: Served, now: float) -> Site | None:
        return self._sites.of(served.name, now) if self._sites else None

    def _wait_for(self, site: Site, served: Served) -> None:
        """Keeps its place among those who wait, whatever else happens to it meanwhile."""
        served.site = site
        self._waiting.setdefault(site, {})[served.name] = None
        site.waiting[self._called] = None

    def _no_longer_held_up(self, served: Served) -> None:
        served.held_up = False
        self._held_up.pop(served.name, None)
        site, served.site = served.site, None
        if site:
            del self._waiting[site][served.name]
            if not self._waiting[site]:
                del self._waiting[site]
                site.waiting.pop(self._called, None)
