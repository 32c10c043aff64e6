"""Whatever the order of events, a unit is in one place and the counters tell the truth."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.scheduler.shard import Shard
from tests.scheduler.units import NOW, held, key, limits
from tubepost.destination_limits import Limit
from tubepost.record import Held, Priority, State
from tubepost.subjects import CHANNELS, LOCAL, REMOTE

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
DESTINATIONS = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "local.example", "f": "z"}
SECONDS = st.sampled_from([0.0, 1.0, 2.0, 90.0])
IN_FORCE = [
    limits(1, 3, x=Limit(2), z=Limit(3, rate=0.5)),
    limits(0, 3, x=Limit(1), z=Limit(3)),
    limits(1, 1, paused=("x",)),
    limits(1, 2, paused=(REMOTE,)),
]
OPEN = limits(99, 99, other=Limit(99))

pytestmark = pytest.mark.timeout(300)  # hundreds of stories


class Shards(RuleBasedStateMachine):
    """`seq` counts up as a stream does; `model`: the newest version of each unit.

    `late`: what the owner will hear only later, or twice.
    """

    @initialize()
    def begin(self) -> None:
        self.shard, self.now, self.seq = Shard(), NOW, 0
        self.limits = IN_FORCE[0]
        self.model: dict[str, Held] = {}
        self.late: list[Held] = []
        self.ending: dict[str, Held] = {}

    @rule(
        name=NAMES,
        state=st.sampled_from([*State, State.PENDING, State.PENDING, State.PENDING]),
        wait=SECONDS,
        tried=st.sampled_from([0, 1, 1]),
        unreachable=st.booleans(),
        opens=st.sampled_from([0.0, 0.0, 1.0, 300.0]),
        throttled=st.booleans(),
        priority=st.sampled_from(Priority),
    )
    def put(self, name: str, state: State, tried: int, **more: Any) -> None:
        unit = self._written(name, state=state, tried=tried, **more)
        self.shard.put(unit, self.now)
        self.model[name] = unit

    @rule(name=NAMES, wait=SECONDS)
    def written_and_heard_of_later(self, name: str, wait: float) -> None:
        self.late.append(self._written(name, wait=wait, tried=1, unreachable=True))

    @rule()
    def heard_of(self) -> None:
        """Perhaps for the second time, perhaps of an older version; of what is gone too."""
        if self.late:
            unit = self.late[0] if self.seq % 2 else self.late.pop()
            known = self.model.get(unit.key.mail_id)
            self.shard.put(unit, self.now)
            if known is None or known.seq < unit.seq:
                self.model[unit.key.mail_id] = unit

    @rule(name=NAMES, older=st.booleans())
    def gone(self, name: str, older: bool) -> None:
        seq = self.model[name].seq if name in self.model else 1
        ended = self.shard.gone(key(name), seq - older, self.now)
        assert (ended is not None) == (name in self.model and not older)
        if ended:
            del self.model[name]

    @rule(wait=SECONDS, most=st.sampled_from([1, 256]))
    def due(self, wait: float, most: int) -> None:
        self.now += wait
        out_before = dict(self.shard.out)
        used = {channel: self.shard.used(channel) for channel in CHANNELS}
        for unit in self.shard.due(self.now, self.limits, most):
            assert unit.key not in out_before, "it went out twice"
            assert self.ending.get(unit.key.mail_id) is not unit, "it is being ended"
            assert self.model[unit.key.mail_id] == unit
            assert unit.record.state is State.PENDING
            assert unit.record.channel not in self.limits.paused
            assert unit.record.destination not in self.limits.paused
        self._no_more_than_allowed(used, Counter(self._out(out_before)))

    def _no_more_than_allowed(self, used: dict[str, int], before: Counter[str]) -> None:
        """Beyond what was out already: a limit may have been lowered, a worker may hold more."""
        for channel in CHANNELS:
            most = max(used[channel], self.limits.of(channel))
            assert self.shard.used(channel) <= most
        for name, count in Counter(self._out(self.shard.out)).items():
            limit = self.limits.destinations.get(name, Limit(20)).concurrency
            assert name.startswith("local") or count <= max(before[name], limit)

    def _out(self, out: Any) -> list[str]:
        return [self.shard.units[k].record.destination for k in out]

    @rule(number=st.integers(0, len(IN_FORCE) - 1))
    def limits_change(self, number: int) -> None:
        self.limits = IN_FORCE[number]

    @rule(name=NAMES, wait=SECONDS)
    def put_back(self, name: str, wait: float) -> None:
        self.shard.put_back(key(name), self.now + wait)
        self.ending.pop(name, None)

    @rule(names=st.sets(NAMES))
    def held_by_worker(self, names: set[str]) -> None:
        self.shard.held_by_worker([key(name) for name in names], self.now)
        for name in names:
            self.ending.pop(name, None)

    @rule(names=st.sets(NAMES))
    def hurry(self, names: set[str]) -> None:
        self.shard.hurry([key(name) for name in names], self.now)

    @rule(lifetime=st.sampled_from([0.0, 0.0, 1000.0]))
    def some_have_expired(self, lifetime: float) -> None:
        """What is to be ended is not out, and is so old."""
        for each in self.shard.expired_behind_backoff(lifetime):
            unit = self.model[each.key.mail_id]
            assert each.key not in self.shard.out
            assert unit.record.state is State.PENDING
            assert self.now > unit.record.clock_start + lifetime
            self.ending[each.key.mail_id] = unit
            event("expired")

    @rule(written=st.booleans())
    def they_end(self, written: bool) -> None:
        """Or could not be ended: then they go out again."""
        for name, unit in list(self.ending.items()):
            if written and self.model.get(name) is unit:
                self.put(name, State.BOUNCE, tried=1, wait=0.0, unreachable=True)
            else:
                self.shard.put_back(key(name), self.now + 1)
        self.ending.clear()

    @rule(answered=st.booleans(), wait=SECONDS, then=SECONDS)
    def all_jobs_end(self, answered: bool, wait: float, then: float) -> None:
        for out in list(self.shard.out):
            self.put(out.mail_id, State.PENDING, tried=1, wait=wait, unreachable=not answered)
        self.now += then

    @rule(number=st.integers(0, 2), then=SECONDS)
    def a_destination_goes_dead(self, number: int, then: float) -> None:
        """Three units of it are due, and nobody answers, again and again."""
        for name in "abc":
            self.put(name, State.PENDING, tried=0, wait=0.0, unreachable=False)
        for _ in range(2 + number):
            self.due(0.0, 256)
            self.all_jobs_end(answered=False, wait=0.0, then=then)
        event(f"backed off: {self.shard.backed_off}")

    @rule()
    def everything_due_goes_out_once_there_is_room(self) -> None:
        """The end of each story: no unit is forgotten, all come back, nothing is left."""
        event(f"backed off at the end: {self.shard.backed_off}")
        self.they_end(written=False)
        self.now += 1
        pending = {n for n, unit in self.model.items() if unit.record.state is State.PENDING}
        went = {k.mail_id for k in self.shard.out}
        for _ in range(20):
            for out in list(self.shard.out):
                self.gone(out.mail_id, older=False)
            if went == pending:
                break
            went |= {unit.key.mail_id for unit in self.shard.due(self.now, OPEN)}
            self.now = max(self.now, self.shard.next_due() or 0.0)
        assert went == pending
        assert self._only_memory_is_left()
        assert [self.shard.used(channel) for channel in CHANNELS] == [0, 0]
        assert [self.shard.ready(channel) for channel in CHANNELS] == [0, 0]

    def _only_memory_is_left(self) -> bool:
        """Back-offs and rates end by themselves, and then nothing is known of any destination."""
        self.now += 10_000
        self.shard.due(self.now, self.limits)
        self.now += 10_000
        self.shard.due(self.now, self.limits)
        lanes = self.shard._lanes.values()
        held_here = {unit.record.destination for unit in self.model.values()}
        known = {name for lane in lanes for name in lane._destinations}
        return self.shard.next_due() is None and known <= held_here

    @invariant()
    def out_is_what_the_counters_say(self) -> None:
        if not hasattr(self, "shard"):
            return
        units, out = self.shard.units, self.shard.out
        assert {k.mail_id: unit for k, unit in units.items()} == self.model
        assert all(units[k].record.state is State.PENDING for k in out)
        assert all(units[k].seq == job.seq for k, job in out.items())
        by_channel = Counter(units[k].record.channel for k in out)
        assert {c: self.shard.used(c) for c in CHANNELS} == {c: by_channel[c] for c in CHANNELS}
        probes = sum(job.probe for job in out.values())
        assert sum(lane._probes for lane in self.shard._lanes.values()) == probes

    @invariant()
    def the_tally_is_what_there_is(self) -> None:
        if not hasattr(self, "shard"):
            return
        tally, found = self.shard.tally, [unit.record for unit in self.model.values()]
        assert tally.messages == len(found)
        states = Counter(record.state for record in found)
        assert {s: tally.states[s] for s in State} == {s: states[s] for s in State}
        most = Counter((r.channel, r.destination) for r in found).most_common()
        top = [((d.channel, d.destination), d.units) for d in tally.top(10)]
        assert sorted(top) == sorted(most)
        assert [count for _, count in top] == sorted((count for _, count in most), reverse=True)
        assert [u.key.mail_id for u in self.shard.in_order()] == sorted(self.model)

    def _written(
        self,
        name: str,
        *,
        wait: float,
        tried: int,
        unreachable: bool,
        state: State = State.PENDING,
        priority: Priority = Priority.NORMAL,
        opens: float = 0.0,
        throttled: bool = False,
    ) -> Held:
        self.seq += 1
        known = self.model.get(name)
        return held(
            name,
            self.seq,
            state=state,
            channel=LOCAL if name == "e" else REMOTE,
            destination=DESTINATIONS[name],
            next_attempt=self.now + wait,
            attempts=tried + (known.record.attempts if known else 0),
            unreachable=unreachable,
            opens=self.now + opens if opens else 0.0,
            throttled=throttled,
            priority=priority,
        )


TestShards = Shards.TestCase
TestShards.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
