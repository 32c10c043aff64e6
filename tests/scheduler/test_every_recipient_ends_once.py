"""Whatever is late, doubled, lost or killed: each recipient ends once, delivered or bounced."""

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.scheduler.units import limits
from tests.scheduler.world import Worker, World
from tubepost.destination_limits import Limit
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Fate, State
from tubepost.subjects import CHANNELS

OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Delivered(text="ok"),
        Deferred(text="busy"),
        Deferred(text="no connection", no_connection=True),
        Deferred(text="no connection", no_connection=True),
        Failed(text="no such user"),
    ]
)
BOTH = st.tuples(OUTCOMES, OUTCOMES)
INDEX = st.integers(0, 7)

pytestmark = pytest.mark.timeout(300)  # hundreds of stories


class Queue(RuleBasedStateMachine):
    """The rules are what may happen; at the end of each story the faults stop."""

    @initialize()
    def begin(self) -> None:
        self.world = World(limits(2, 3, dead_example=Limit(2), other=Limit(2)))
        self.accepted = 0

    @rule(
        destination=st.sampled_from(["far.example", "dead.example", "local.example"]),
        recipients=st.integers(1, 2),
    )
    def a_mail_comes(self, destination: str, recipients: int) -> None:
        self.accepted += 1
        self.world.accept(self.accepted, destination, recipients)
        self.world.hear(self.world.owner)

    @rule(seconds=st.sampled_from([1.0, 70.0, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(former=st.booleans())
    def an_owner_works(self, former: bool) -> None:
        world = self.world
        owner = world.former if former and world.former else world.owner
        world.hear(owner)
        world.dispatch(owner)
        world.expire(owner)
        world.settle_own(owner)

    @rule(index=INDEX, again=st.booleans())
    def a_hint_arrives(self, index: int, again: bool) -> None:
        for owner in self.world.owners:
            self.world.hear_hint(owner, index, again=again)

    @rule(index=INDEX)
    def a_hint_is_lost(self, index: int) -> None:
        hints = self.world.owner.hints
        if hints:
            del hints[index % len(hints)]

    @rule(index=INDEX)
    def a_worker_takes_a_job(self, index: int) -> None:
        if self.world.jobs:
            self.world.take(sorted(self.world.jobs, key=str)[index % len(self.world.jobs)])

    @rule(index=INDEX, outcomes=BOTH)
    def a_worker_is_done(self, index: int, outcomes: tuple[Outcome, Outcome]) -> None:
        if self.world.workers:
            worker = self._worker(index)
            self.world.deliver(worker, told(worker, outcomes))

    @rule(index=INDEX, outcomes=st.none() | BOTH)
    def a_worker_dies(self, index: int, outcomes: tuple[Outcome, Outcome] | None) -> None:
        if self.world.workers:
            worker = self._worker(index)
            self.world.die(worker, told(worker, outcomes) if outcomes else None)

    @rule(seconds=st.sampled_from([1.0, 400.0, 4000.0]), hear=st.booleans())
    def nobody_is_reached_for_a_while(self, seconds: float, hear: bool) -> None:
        world = self.world
        world.dispatch(world.owner)
        for key in sorted(world.jobs, key=str):
            world.take(key)
        for worker in [w for w in world.workers if w.held.record.channel != "local"]:
            outcome: Outcome = Deferred(text="no connection", no_connection=True)
            world.deliver(worker, told(worker, (outcome, outcome)))
        while hear and world.owner.records:
            world.hear(world.owner)
        world.now += seconds

    @rule(restarts=st.booleans(), taken=st.integers(0, 2))
    def a_host_is_dead_for_longer_than_mails_live(self, restarts: bool, taken: int) -> None:
        world = self.world
        for _ in range(4):
            self.a_mail_comes("dead.example", 1)
        self.nobody_is_reached_for_a_while(1.0, hear=True)
        world.now += 6000
        world.dispatch(world.owner)
        if restarts:
            world.restart(overlap=False)
        for key in sorted(world.jobs, key=str)[:taken]:
            world.take(key)

    @rule(overlap=st.booleans())
    def another_scheduler_takes_over(self, overlap: bool) -> None:
        self.world.restart(overlap=overlap)

    @rule()
    def the_former_owner_ends(self) -> None:
        self.world.former = None

    @rule()
    def the_jobs_vanish(self) -> None:
        self.world.jobs_vanish()

    @rule()
    def jobs_are_checked(self) -> None:
        self.world.check_lost()

    @invariant()
    def nobody_has_ended_twice(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        ended = [who for who, _ in world.ends.elements()]
        assert len(ended) == len(set(ended))
        waiting = {
            (key, r.address)
            for key, held in world.store.items()
            for r in held.record.recipients
            if r.fate in (Fate.WAITING, Fate.FAILED)
        }
        assert not waiting & set(ended)
        assert waiting | set(ended) == world.recipients, "a recipient was lost"
        for who, count in world.passed_on.items():
            assert count <= 1 + world.died_late[who], "sent twice with no worker killed"
            if world.ends[who, "bounced"]:
                assert count <= world.died_late[who], "sent and bounced with no worker killed"

    def teardown(self) -> None:
        """The faults stop: all that waits goes its way, and nothing is left."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.former = None
        for _ in range(600):
            self._a_quiet_round()
            if not (world.store or world.owner.shard.out or world.owner.hints):
                break
        assert not world.store
        event(f"some expired: {world.expired > 0}")
        self.nobody_has_ended_twice()
        assert {who for who, _ in world.ends} == world.recipients
        shard = world.owner.shard
        assert shard.out == {}
        assert State.PENDING not in {held.record.state for held in shard.units.values()}
        assert [shard.used(c) + shard.ready(c) for c in CHANNELS] == [0, 0]

    def _a_quiet_round(self) -> None:
        world = self.world
        while world.owner.records:
            world.hear(world.owner)
        while world.owner.hints:
            world.hear_hint(world.owner, 0, again=False)
        world.dispatch(world.owner)
        world.check_lost()
        world.expire(world.owner)
        while world.owner.to_settle:
            world.settle_own(world.owner)
        for key in list(world.jobs):
            world.take(key)
        for worker in list(world.workers):
            dead = worker.held.key.mail_id < "m0003"
            busy: Outcome = Deferred(text="x", no_connection=dead)
            world.deliver(worker, told(worker, (busy, Delivered(text="ok"))))
        world.now += 100

    def _worker(self, index: int) -> Worker:
        return self.world.workers[index % len(self.world.workers)]


def told(worker: Worker, outcomes: tuple[Outcome, Outcome]) -> dict[str, Outcome]:
    """One for each recipient that still waits."""
    return dict(zip(worker.held.record.waiting, outcomes, strict=False))


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
