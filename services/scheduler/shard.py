"""What an owner knows of its shard, and what is to be done next. Pure: no I/O, time is an argument.

Every operation costs O(1), or O(log n), whatever the length of the queue.

A pending unit is in one place: `_later` (its time has not come), a lane (due, waiting for its
turn), `out` (a job is out for it), or `_ending` (its owner ends it). Times are seconds since 1970.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from sortedcontainers import SortedList

from services.scheduler.expiry import Expired, Expiry
from services.scheduler.lane import Lane, Out, Verdict
from services.scheduler.served import Trouble
from services.scheduler.sites import Called, Sites
from services.scheduler.tally import Tally
from tubepost import retry
from tubepost.destination_limits import Table
from tubepost.record import Fate, Held, Record, State
from tubepost.subjects import CHANNELS, LOCAL, REMOTE, Key

SETTLED_BY_OWNER = frozenset({State.BOUNCE, State.DONE, State.SPLIT, State.GROUP})

AT_ONCE = 5000
"""Units that become due in one go, at most: 20 ms of work. The rest does so in the next."""

FEW = 1000
"""Entries of older versions that may always stay."""

LAST = "\x7f"
"""Sorts behind every unit's name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`channel`: deliveries of this shard at once. `destinations`: those of a remote destination.

    `paused`: names of channels and destinations that send nothing now. `sites`: what remote
    destinations share, with those of other shards too.
    """

    channel: Mapping[str, int]
    destinations: Table = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    sites: Sites | None = field(default=None, compare=False)

    def of(self, channel: str) -> int:
        return 0 if channel in self.paused else self.channel[channel]


class Shard:
    """The units of one shard and where each waits. `tally` counts them."""

    def __init__(self, called: Called = lambda: None) -> None:
        """`called`: says that `due` may find something, because another shard made room."""
        self.units: dict[Key, Held] = {}
        self.out: dict[Key, Out] = {}
        self.tally = Tally()
        self._later: list[tuple[float, int, Key]] = []
        self._moved: dict[Key, float] = {}
        """When a unit in `_later` is due, where that is not its next attempt."""
        self._sweep_at = FEW
        self._ending: set[Key] = set()
        self._order = SortedList()
        self._limits: Limits | None = None
        self._lanes = {
            channel: Lane(
                self.tally.by_destination[channel], learns=channel != LOCAL, called=called
            )
            for channel in CHANNELS
        }
        self._expiry = Expiry(self._lanes[REMOTE])

    # --- what happened

    def put(self, held: Held, now: float) -> bool:
        """A record was written. True where the owner itself has to settle it now."""
        key, record = held.key, held.record
        old = self.units.get(key)
        if old is not None and old.seq >= held.seq:
            return False
        self.units[key] = held
        if old is None:
            self.tally.came(record)
            self._order.add((key.mail_id, key.unit, key))
        else:
            self.tally.changed(old.record, record)
            self._leave(old, record, now)
        if record.state is State.PENDING:
            if old is None and record.unreachable:
                self._lanes[record.channel].suspect(record.destination, _error(record))
            self._wait(held, record.next_attempt, now)
        return record.state in SETTLED_BY_OWNER

    def gone(self, key: Key, seq: int, now: float) -> Record | None:
        """The version `seq` of a record is no longer there; the record, if it was known."""
        known = self.units.get(key)
        if known is None or known.seq > seq:
            return None
        del self.units[key]
        record = known.record
        self.tally.went(record)
        self._order.remove((key.mail_id, key.unit, key))
        self._leave(known, None, now)
        if record.channel:
            self._lanes[record.channel].forget_idle(record.destination, now)
        return record

    def held_by_worker(self, keys: Iterable[Key], now: float) -> None:
        """These are being delivered right now, as their workers say."""
        for key in keys:
            held = self.units.get(key)
            if held and held.record.state is State.PENDING and key not in self.out:
                self._lanes[held.record.channel].drop(held)
                self._ending.discard(key)
                self._send(held, now)

    def put_back(self, key: Key, at: float) -> None:
        """The job could not be sent out, or is lost, or its end could not be: again at `at`."""
        held = self.units.get(key)
        if held is None or held.record.state is not State.PENDING:
            return
        lane, name = self._lanes[held.record.channel], held.record.destination
        out = self.out.pop(key, None)
        if out:
            lane.came_back(name, out)
            lane.undone(name, out)
        else:
            lane.drop(held)
            self._ending.discard(key)
        self._moved[key] = at
        self._push(at, held)

    def hurry(self, keys: Iterable[Key], now: float) -> None:
        """Makes units due at once, and opens their destinations; their records stay as they are."""
        for key in keys:
            held = self.units.get(key)
            if held and held.record.state is State.PENDING:
                self.reopen(held.record.destination)
                if self._in_later(held):
                    self._moved.pop(key, None)
                    self._lanes[held.record.channel].add(held)

    def reopen(self, destination: str) -> None:
        """Ends a destination's back-off and forgets what was learnt of it."""
        for lane in self._lanes.values():
            lane.reopen(destination)

    # --- what is to be done

    def due(self, now: float, limits: Limits, most: int = 256) -> list[Held]:
        """Units to send out now; they count as out from here on. Channels take turns."""
        self._apply(limits)
        self._wake(now)
        found: list[Held] = []
        lanes = list(self._lanes.values())
        while lanes and len(found) < most:
            lane = lanes.pop(0)
            held = lane.take(now)
            if held is not None:
                self._send(held, now)
                found.append(held)
                lanes.append(lane)
        return found

    @property
    def refills(self) -> bool:
        """Whether so many places came free since the last `due` that the next one is worth it."""
        return any(lane.refills for lane in self._lanes.values())

    def next_due(self) -> float | None:
        """When `due` has something new to look at, if nothing happens before."""
        first = min(lane.next_wake for lane in self._lanes.values())
        while self._later and not self._alive(self._later[0]):
            heapq.heappop(self._later)
        if self._later:
            first = min(first, self._later[0][0])
        return first if isfinite(first) else None

    def expired_behind_backoff(self, lifetime: float, most: int = 1000) -> list[Expired]:
        """Units whose destination's probe failed after their lifetime had ended: to be ended now.

        Looks at `most` units. They do not go out any more: they change, are gone, or `put_back`.
        """
        found = list(self._expiry.found(lifetime, most))
        self._ending.update(each.key for each in found)
        return found

    @property
    def searching(self) -> bool:
        """Whether `expired_behind_backoff` has more to look at."""
        return self._expiry.searching

    def close(self) -> None:
        """It is another owner's: what it has out no longer counts for what shards share here."""
        for lane in self._lanes.values():
            lane.close()
        for out in self.out.values():
            if out.site:
                out.site.came_back()

    # --- what there is

    def out_since(self, before: float) -> list[Held]:
        """Units whose job has been out since before that instant."""
        return [self.units[key] for key, out in self.out.items() if out.since < before]

    def used(self, channel: str) -> int:
        """Slots taken: jobs that are out."""
        return self._lanes[channel].out

    def ready(self, channel: str) -> int:
        """Units that are due and wait: for a slot, for their destination, or in a pause."""
        return len(self._lanes[channel].standing)

    @property
    def backed_off(self) -> int:
        """Destinations that get nothing but probes."""
        return sum(len(lane.backed_off) for lane in self._lanes.values())

    def troubles(self) -> list[Trouble]:
        """Remote destinations that do not get all they could use, with the reason."""
        return self._lanes[REMOTE].troubles()

    def known(self, destination: str) -> Trouble | None:
        """A remote destination; None where nothing is known of it."""
        return self._lanes[REMOTE].known(destination)

    @property
    def oldest(self) -> float | None:
        """When the oldest mail was accepted; None = the queue is empty."""
        return self.units[self._order[0][2]].record.created if self._order else None

    def in_order(self, after: str = "") -> Iterator[Held]:
        """Units by mail id and unit, behind that mail. Nothing may change the shard meanwhile."""
        for _, _, key in self._order.irange((after, LAST)):
            yield self.units[key]

    def of_mail(self, mail_id: str) -> list[Held]:
        """The units of a mail that this shard holds."""
        return [self.units[key] for _, _, key in self._order.irange((mail_id,), (mail_id, LAST))]

    # --- from place to place

    def _apply(self, limits: Limits) -> None:
        if limits is self._limits or limits == self._limits:
            return
        self._limits = limits
        for channel, lane in self._lanes.items():
            lane.apply(limits.of(channel), limits.destinations, limits.paused, limits.sites)

    def _wake(self, now: float) -> None:
        """Moves what is due into the lanes; entries of older versions fall out."""
        for lane in self._lanes.values():
            lane.wake(now)
        for _ in range(AT_ONCE):
            if not self._later or self._later[0][0] > now:
                return
            entry = heapq.heappop(self._later)
            held = self._alive(entry)
            if held:
                self._moved.pop(held.key, None)
                self._lanes[held.record.channel].add(held)

    def _wait(self, held: Held, at: float, now: float) -> None:
        if at <= now:
            self._lanes[held.record.channel].add(held)
        else:
            self._push(at, held)

    def _push(self, at: float, held: Held) -> None:
        heapq.heappush(self._later, (at, held.seq, held.key))
        if len(self._later) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Clears `_later` where more than half of it is of older versions."""
        waiting = sum(len(lane.standing) for lane in self._lanes.values())
        elsewhere = len(self.out) + waiting + len(self._ending)
        alive = self.tally.states[State.PENDING] - elsewhere
        if len(self._later) > 2 * alive + FEW:
            self._later = [entry for entry in self._later if self._alive(entry)]
            heapq.heapify(self._later)
        self._sweep_at = 2 * alive + FEW

    def _alive(self, entry: tuple[float, int, Key]) -> Held | None:
        """The unit an entry of `_later` stands for, if it is still the one that counts."""
        at, seq, key = entry
        held = self.units.get(key)
        if held is None or held.seq != seq or not self._in_later(held):
            return None
        return held if at == self._moved.get(key, held.record.next_attempt) else None

    def _in_later(self, held: Held) -> bool:
        key, record = held.key, held.record
        return (
            record.state is State.PENDING
            and key not in self.out
            and key not in self._lanes[record.channel].standing
            and key not in self._ending
        )

    def _send(self, held: Held, now: float) -> None:
        record = held.record
        if self._moved:
            self._moved.pop(held.key, None)
        lane = self._lanes[record.channel]
        self.out[held.key] = lane.went_out(record.destination, held.seq, now)

    def _leave(self, old: Held, new: Record | None, now: float) -> None:
        """Takes a unit out of its place: it changed to `new`, or is gone."""
        key, record = old.key, old.record
        if record.state is not State.PENDING:
            return
        if self._moved:  # mostly empty, and a key takes long to hash
            self._moved.pop(key, None)
        if self._ending:
            self._ending.discard(key)
        lane, name = self._lanes[record.channel], record.destination
        out = self.out.pop(key, None)
        if out is None:
            lane.drop(old)
            return
        lane.came_back(name, out)
        verdict = _verdict(record, new)
        if verdict and lane.learn(name, out.since, now, verdict):
            self._expiry.probe_failed(name, now, verdict.error)


def _verdict(old: Record, new: Record | None) -> Verdict | None:
    """What the end of a job says about its destination; None = nothing: nobody asked a host of it.

    Neither our faults nor those of DNS end a back-off.
    """
    if new is None:
        return Verdict(reached=True)
    if new.attempts <= old.attempts or new.unasked:
        return None
    if new.unreachable:
        return Verdict(reached=False, error=_error(new), opens=new.opens)
    return Verdict(reached=True, throttled=new.throttled)


def _error(record: Record) -> str:
    """The last thing that was said of somebody who did not get the mail."""
    replies = (r.reply for r in record.recipients if r.fate in (Fate.WAITING, Fate.FAILED))
    return next((text for text in replies if text), "").removesuffix("/" + retry.EXPIRED)
