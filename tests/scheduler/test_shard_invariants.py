"""Whatever the order of events, a unit is in one place and the counters tell the truth."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.scheduler.shard import Limits, Shard
from tests.scheduler.units import NOW, held, key
from tubepost.record import State
from tubepost.subjects import CHANNELS, LOCAL, REMOTE

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
DESTINATIONS = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "local"}
SECONDS = st.integers(0, 3).map(float)
LIMITS = Limits({LOCAL: 1, REMOTE: 3}, destination=2)


class Shards(RuleBasedStateMachine):
    """`seq` counts up as a stream does; `model`: the newest version and state of each unit."""

    @initialize()
    def begin(self) -> None:
        self.shard, self.now, self.seq = Shard(), NOW, 0
        self.model: dict[str, tuple[int, State]] = {}

    @rule(name=NAMES, state=st.sampled_from(list(State)), wait=SECONDS)
    def put(self, name: str, state: State, wait: float) -> None:
        self.seq += 1
        channel = LOCAL if name == "e" else REMOTE
        unit = held(
            name,
            self.seq,
            state=state,
            channel=channel,
            destination=DESTINATIONS[name],
            next_attempt=self.now + wait,
        )
        self.shard.put(unit)
        self.model[name] = (self.seq, state)

    @rule(name=NAMES, older=st.booleans())
    def gone(self, name: str, older: bool) -> None:
        seq = self.model[name][0] if name in self.model else 1
        ended = self.shard.gone(key(name), seq - older)
        assert (ended is not None) == (name in self.model and not older)
        if ended:
            del self.model[name]

    @rule(wait=SECONDS)
    def due(self, wait: float) -> None:
        self.now += wait
        was_out = set(self.shard.out)
        for unit in self.shard.due(self.now, LIMITS):
            assert unit.key not in was_out, "it went out twice"
            assert unit.record.next_attempt <= self.now
            assert self.model[unit.key.mail_id] == (unit.seq, State.PENDING)

    @rule(name=NAMES, wait=SECONDS)
    def put_back(self, name: str, wait: float) -> None:
        if key(name) in self.shard.out:
            self.shard.put_back(key(name), self.now + wait)

    @rule(names=st.sets(NAMES))
    def held_by_worker(self, names: set[str]) -> None:
        self.shard.held_by_worker([key(name) for name in names], self.now)

    @rule()
    def everything_due_goes_out_once_there_is_room(self) -> None:
        """The end of each story: no unit is forgotten."""
        wide = Limits({LOCAL: 99, REMOTE: 99}, destination=99)
        self.now += 10
        self.shard.due(self.now, wide)
        pending = {key(n) for n, (_, state) in self.model.items() if state is State.PENDING}
        assert set(self.shard.out) == pending
        assert self.shard.next_due() is None

    @invariant()
    def out_is_what_the_counters_say(self) -> None:
        if not hasattr(self, "shard"):
            return
        units, out = self.shard.units, self.shard.out
        assert {k.mail_id: (h.seq, h.record.state) for k, h in units.items()} == self.model
        assert all(units[k].record.state is State.PENDING for k in out)
        assert all(units[k].seq == job.seq for k, job in out.items())
        by_channel = Counter(units[k].record.channel for k in out)
        assert {c: self.shard.used(c) for c in CHANNELS} == {c: by_channel[c] for c in CHANNELS}


TestShards = Shards.TestCase
TestShards.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
