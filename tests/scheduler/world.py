"""A whole queue in memory for property tests: a store with compare-and-set, jobs, workers, owners.

Only lifecycle and Shard are the real ones. What travels may be late, doubled or lost, as the bus
allows: records reach an owner in order and late, hints in any order or never, jobs may vanish.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.scheduler.shard import Limits, Shard
from tests.scheduler.units import NOW
from tubepost import lifecycle
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.record import Fate, Held, Recipient, Record, State
from tubepost.retry import Rules
from tubepost.subjects import LOCAL, REMOTE, Key

RULES = Rules(lifetime=5_000)
ENDS = {Fate.DELIVERED: "delivered", Fate.BOUNCED: "bounced"}

Who = tuple[Key, str]
Change = Callable[[Record], Record]


@dataclass
class Owner:
    """A scheduler's view: what it has heard of, what is still on the way to it."""

    shard: Shard = field(default_factory=Shard)
    records: deque[Held] = field(default_factory=deque)
    hints: list[tuple[Key, int]] = field(default_factory=list)
    to_settle: list[Key] = field(default_factory=list)


@dataclass
class Worker:
    """A delivery under way: the record as it was read."""

    held: Held
    began: float


class World:
    """`ends`: how often a recipient's fate became final in the store, and which. `passed_on`: how
    often a peer took a mail for a recipient; `died_late`: the times a worker died right after."""

    def __init__(self, limits: Limits) -> None:
        self.now, self.seq, self.limits = NOW, 0, limits
        self.store: dict[Key, Held] = {}
        self.jobs: dict[Key, int] = {}
        self.workers: list[Worker] = []
        self.owner = Owner()
        self.former: Owner | None = None
        self.ends: Counter[tuple[Who, str]] = Counter()
        self.passed_on: Counter[Who] = Counter()
        self.died_late: Counter[Who] = Counter()
        self.bounces: set[tuple[Key, int]] = set()
        self.expired = 0
        self.recipients: set[Who] = set()

    @property
    def owners(self) -> list[Owner]:
        return [self.owner] if self.former is None else [self.owner, self.former]

    # --- the store

    def accept(self, number: int, destination: str, recipients: int) -> None:
        key = Key(0, f"m{number:04}", "0")
        names = tuple(f"r{n}@{destination}" for n in range(recipients))
        self.recipients |= {(key, name) for name in names}
        record = Record(
            state=State.PENDING,
            channel=LOCAL if destination.startswith("local") else REMOTE,
            destination=destination,
            sender="s@example.org",
            recipients=tuple(Recipient(name) for name in names),
            size=1,
            created=self.now,
            next_attempt=self.now,
        )
        self._write(key, record)

    def settle(self, held: Held, change: Change) -> None:
        """MailStore.settle: on what is there by now, unless it is gone."""
        there = self.store.get(held.key)
        if there is None:
            return
        new = change(there.record)
        assert new.state in lifecycle.TRANSITIONS[there.record.state]
        self._count(there, new)
        if new.state is State.DONE:
            del self.store[held.key]
            self.tell_gone(held.key, there.seq)
        else:
            self._write(held.key, new)

    def tell_gone(self, key: Key, seq: int) -> None:
        for owner in self.owners:
            owner.hints.append((key, seq))

    def _write(self, key: Key, record: Record) -> None:
        self.seq += 1
        self.store[key] = Held(key, self.seq, record)
        for owner in self.owners:
            owner.records.append(self.store[key])

    def _count(self, there: Held, new: Record) -> None:
        for old, now in zip(there.record.recipients, new.recipients, strict=True):
            if now.fate is not old.fate and now.fate in ENDS:
                self.ends[(there.key, now.address), ENDS[now.fate]] += 1

    # --- workers

    @property
    def held_by_workers(self) -> set[Key]:
        return {worker.held.key for worker in self.workers}

    def take(self, key: Key) -> None:
        """A worker takes a job; not while another is at it (`w.inflight`)."""
        if key in self.held_by_workers or key not in self.jobs:
            return
        there = self.store.get(key)
        if there is None or there.seq != self.jobs[key] or there.record.state is not State.PENDING:
            self.tell_gone(key, self.jobs.pop(key))
        else:
            self.workers.append(Worker(there, self.now))

    def deliver(self, worker: Worker, outcomes: Mapping[str, Outcome]) -> None:
        """The peer has spoken; the worker writes what it said, and finishes the job."""
        self.workers.remove(worker)
        self._pass_on(worker, outcomes)
        self.settle(
            worker.held,
            lambda record: lifecycle.after_attempt(
                record, outcomes, began=worker.began, now=self.now, rules=RULES
            ),
        )
        self.jobs.pop(worker.held.key, None)

    def die(self, worker: Worker, outcomes: Mapping[str, Outcome] | None) -> None:
        """A worker is killed: before the peer has spoken, or right after."""
        self.workers.remove(worker)
        if outcomes is not None:
            self._pass_on(worker, outcomes)
            held = worker.held
            self.died_late.update((held.key, name) for name in held.record.waiting)

    def _pass_on(self, worker: Worker, outcomes: Mapping[str, Outcome]) -> None:
        for name in worker.held.record.waiting:
            if isinstance(outcomes.get(name), Delivered):
                self.passed_on[worker.held.key, name] += 1

    # --- owners

    def hear(self, owner: Owner) -> None:
        """The next record on its way to an owner arrives."""
        if owner.records:
            held = owner.records.popleft()
            if owner.shard.put(held, self.now):
                owner.to_settle.append(held.key)

    def hear_hint(self, owner: Owner, index: int, *, again: bool) -> None:
        if owner.hints:
            at = index % len(owner.hints)
            key, seq = owner.hints[at]
            owner.shard.gone(key, seq, self.now)
            if not again:
                del owner.hints[at]

    def dispatch(self, owner: Owner) -> None:
        for unit in owner.shard.due(self.now, self.limits):
            self.jobs.setdefault(unit.key, unit.seq)  # "expect none": else the first one stays

    def expire(self, owner: Owner) -> None:
        """As Owner._expire_one and Settler.expire."""
        for each in owner.shard.expired_behind_backoff(RULES.lifetime):
            self.expired += 1
            there = self.store.get(each.key)
            if each.key in self.jobs:
                owner.shard.held_by_worker([each.key], self.now)
            elif there is None:
                owner.shard.gone(each.key, self.seq, self.now)
            elif there.record.state is State.PENDING:
                self._give_up(there, each.error)

    def _give_up(self, there: Held, error: str) -> None:
        outcomes = dict.fromkeys(there.record.waiting, Deferred(text=error))

        def change(record: Record) -> Record:
            assert RULES.is_last(record.clock_start, self.now)
            return lifecycle.after_attempt(
                record, outcomes, began=self.now, now=self.now, rules=RULES
            )

        self.settle(there, change)

    def settle_own(self, owner: Owner) -> None:
        """Bounces: one mail with a fixed id, then the record."""
        if not owner.to_settle:
            return
        there = self.store.get(owner.to_settle.pop(0))
        if there and there.record.state is State.BOUNCE:
            self.bounces.add((there.key, there.record.attempts))
            told = {r.address for r in there.record.recipients if r.fate is Fate.FAILED}
            self.settle(there, lambda record: lifecycle.after_bounce(record, told))

    def restart(self, *, overlap: bool) -> None:
        """Another scheduler takes the shard over; for a while the former may go on."""
        self.former = self.owner if overlap else None
        self.owner = Owner()
        for held in sorted(self.store.values(), key=lambda h: h.seq):
            if self.owner.shard.put(held, self.now):
                self.owner.to_settle.append(held.key)
        self.owner.shard.held_by_worker(self.held_by_workers, self.now)

    def jobs_vanish(self) -> None:
        """DISPATCH was in memory; the owners ask the workers, and send the rest again."""
        self.jobs.clear()
        for owner in self.owners:
            holding = self.held_by_workers
            for key in [k for k in owner.shard.out if k not in holding]:
                owner.shard.put_back(key, self.now)

    def check_lost(self) -> None:
        """Owner._check_lost: the job of what is out is stored again, if there is none."""
        for unit in self.owner.shard.out_since(self.now + 1):
            self.jobs.setdefault(unit.key, unit.seq)
