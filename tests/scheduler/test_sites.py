"""Limits that destinations share: by their mail hosts, over all shards of a process."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.scheduler import sites as module
from services.scheduler.shard import Limits, Shard
from services.scheduler.sites import Sites
from tests.scheduler.units import NOW, held, key
from tubepost.destination_limits import Table, parse, shared, site_of
from tubepost.subjects import LOCAL, REMOTE

GOOGLE = ["alt1.mx.google.example", "mx.google.example"]


class Process:
    """Shards of one process, and what is asked of remote."""

    def __init__(self, *lines: str, shards: int = 2, channel: int = 1000) -> None:
        self.now, self.seq, self.channel = NOW, 0, channel
        self.asked: list[str] = []
        self.called: list[int] = []
        self.sites = Sites(self.asked.append)
        self.shards = [Shard(lambda n=n: self.called.append(n)) for n in range(shards)]  # type: ignore[misc]
        self.set(*lines)

    def set(self, *lines: str, owned: int = 1, of: int = 1) -> None:
        self.table = parse(lines)
        self.sites.apply(self.table, owned, of)

    def know(self, *destinations: str, hosts: list[str] | None = None, for_: float = 1e9) -> None:
        for name in destinations:
            self.sites.learn(name, GOOGLE if hosts is None else hosts, self.now + for_)

    def put(self, name: str, destination: str, shard: int = 0, **more: Any) -> None:
        self.seq += 1
        unit = held(name, self.seq, destination=destination, next_attempt=self.now, **more)
        self.shards[shard].put(unit, self.now)

    def due(self, shard: int = 0) -> list[str]:
        limits = Limits({LOCAL: 9, REMOTE: self.channel}, self.table, frozenset(), self.sites)
        return [unit.key.mail_id for unit in self.shards[shard].due(self.now, limits)]

    def delivered(self, name: str, shard: int = 0) -> None:
        units = self.shards[shard].units
        self.shards[shard].gone(key(name), units[key(name)].seq, self.now)


def busy(*lines: str, shards: int = 2, each: int = 4, **more: int) -> Process:
    """Three destinations of the same hosts in each shard, with mails for all of them."""
    process = Process(*lines, shards=shards, **more)
    for shard in range(shards):
        for n in range(3):
            process.know(f"d{n}.s{shard}.example")
            for m in range(each):
                process.put(f"s{shard}d{n}m{m}", f"d{n}.s{shard}.example", shard)
    return process


def test_they_share_a_limit_over_all_shards() -> None:
    process = busy("mx .google.example:7")
    assert len(process.due(0)) == 7
    assert process.due(1) == []
    assert {t.site for t in process.shards[1].troubles()} == {".google.example"}


def test_their_own_limits_hold_beside_it() -> None:
    process = busy("mx .google.example:7", ":1")
    assert len(process.due(0)) == 3
    assert len(process.due(1)) == 3


def test_a_place_that_gets_free_calls_those_who_wait_and_goes_round() -> None:
    process = busy("mx .google.example:1")
    went = process.due(0)
    assert process.due(1) == []
    process.delivered(went[0])
    assert set(process.called) == {0, 1}
    assert len(process.due(1)) == 1
    assert process.due(0) == []


def test_everybody_gets_a_turn() -> None:
    process = busy("mx .google.example:1", each=10)
    served: list[str] = []
    out, shard = process.due(0), 0
    assert process.due(1) == []
    for _ in range(18):
        process.called.clear()
        process.delivered(out[0], shard)
        shard = process.called[0]
        out = process.due(shard)
        served += [process.shards[shard].units[key(name)].record.destination for name in out]
    assert set(Counter(served).values()) == {3}


def test_a_rate_is_shared_too_and_sleeps_until_its_instant() -> None:
    process = busy("mx .google.example:100:1/s")
    assert len(process.due(0)) == 1
    assert process.due(0) == []
    assert process.due(1) == []
    assert process.shards[1].next_due() == NOW + 1
    process.now += 1
    assert len(process.due(1)) == 1
    assert process.due(0) == []
    process.now += 1
    assert len(process.due(0)) == 1


def test_a_raised_rate_acts_at_once() -> None:
    process = busy("mx .google.example:7:1/h")
    assert len(process.due(0)) == 1
    assert process.due(1) == []
    process.set("mx .google.example:7:100/s")
    assert process.due(1) == []
    process.now += 1
    assert len(process.due(1)) == 6


def test_a_job_that_could_not_be_sent_does_not_count() -> None:
    process = busy("mx .google.example:1:1/h")
    (name,) = process.due(0)
    process.shards[0].put_back(key(name), NOW + 5)
    assert len(process.due(0)) == 1


def test_what_is_not_known_goes_out_and_is_asked_for_once() -> None:
    process = Process("mx .google.example:1")
    for n in range(3):
        process.put(f"m{n}", "new.example")
    assert len(process.due()) == 3
    assert process.asked == ["new.example"]
    process.know("new.example")
    process.put("m4", "new.example")
    process.put("m5", "new.example")
    assert process.due() == ["m4"]


def test_without_an_entry_nobody_is_asked() -> None:
    process = Process("x.example:5")
    process.put("m", "new.example")
    assert process.due() == ["m"]
    assert process.asked == []


def test_what_was_known_counts_until_it_is_known_better() -> None:
    process = Process("mx .google.example:1")
    process.know("old.example", for_=10)
    process.now += 20
    for n in range(3):
        process.put(f"m{n}", "old.example")
    assert len(process.due()) == 1
    assert process.asked == ["old.example"]
    process.sites.learn("old.example", None, process.now + 60)
    process.put("m4", "old.example")
    assert process.due() == []
    process.know("old.example", hosts=["mx.other.example"])
    process.delivered("m0")
    assert len(process.due()) == 3


def test_an_entry_that_is_taken_away_lets_all_go() -> None:
    process = busy("mx .google.example:1")
    assert len(process.due(0)) == 1
    process.set(":20")
    assert len(process.due(0)) == 11
    assert len(process.due(1)) == 12


def test_a_raised_limit_calls_those_who_wait() -> None:
    process = busy("mx .google.example:1")
    process.due(0)
    process.due(1)
    process.set("mx .google.example:4")
    assert set(process.called) == {0, 1}
    assert len(process.due(1)) == 3


@pytest.mark.parametrize(("owned", "allowed"), [(8, 10), (4, 5), (3, 3), (1, 1), (0, 1)])
def test_a_process_has_its_part_and_one_at_least(owned: int, allowed: int) -> None:
    process = busy("mx .google.example:10")
    process.set("mx .google.example:10", owned=owned, of=8)
    assert len(process.due(0)) == allowed


def test_a_shard_that_goes_to_another_owner_leaves_its_places() -> None:
    process = busy("mx .google.example:2")
    assert len(process.due(0)) == 2
    assert process.due(1) == []
    process.shards[0].close()
    assert set(process.called) == {1}
    assert len(process.due(1)) == 2


def test_what_workers_hold_already_counts() -> None:
    process = busy("mx .google.example:2")
    process.due(0)
    for name in list(process.shards[0].out):
        process.delivered(name.mail_id)
    process.shards[1].due(NOW, Limits({LOCAL: 0, REMOTE: 0}, process.table, sites=process.sites))
    process.shards[1].held_by_worker([key("s1d0m0"), key("s1d1m0")], NOW)
    assert process.due(0) == []


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "MOST_ASKED", 2)
    process = Process("mx .google.example:1")
    for n in range(9):
        process.know(f"d{n}.example")
        process.put(f"m{n}", f"n{n}.example")
    process.due()
    assert list(process.sites._known) == ["d6.example", "d7.example", "d8.example"]
    assert len(process.asked) == 2


@pytest.mark.parametrize(
    ("hosts", "site"),
    [
        (["mx.google.example"], ".google.example"),
        (["one.exact.example"], "one.exact.example"),
        (["two.exact.example"], None),
        (["z.google.example", "one.exact.example"], "one.exact.example"),
        ([], None),
    ],
)
def test_which_site_it_is(hosts: list[str], site: str | None) -> None:
    limits = shared(parse(["mx .google.example:5", "MX one.exact.example:3", "a.example:1", ":2"]))
    assert site_of(limits, hosts) == site


# --- whatever the order of events

NAMES = st.integers(0, 11)
TABLES: list[Table] = [
    parse(["mx .google.example:3", ":2"]),
    parse(["mx .google.example:1"]),
    parse(["mx .google.example:4:1/s", "mx .other.example:2"]),
    parse([":20"]),
]
PLACES = [GOOGLE, ["mx.other.example"], []]


class Together(RuleBasedStateMachine):
    """Two shards, six destinations, units that come, go out, end and are put back."""

    @initialize()
    def begin(self) -> None:
        self.process = Process()
        self.number = 0
        self.set_table(0)

    def shard(self, name: int) -> int:
        return name % 2

    @rule(number=st.integers(0, len(TABLES) - 1))
    def set_table(self, number: int) -> None:
        self.number = number
        self.process.table = TABLES[number]
        self.process.sites.apply(TABLES[number], 1, 1)

    @rule(destination=st.integers(0, 5), where=st.sampled_from([*PLACES, None]))
    def learn(self, destination: int, where: list[str] | None) -> None:
        self.process.sites.learn(f"d{destination}", where, self.process.now + 100)

    @rule(name=NAMES, unreachable=st.booleans())
    def put(self, name: int, unreachable: bool) -> None:
        shard = self.process.shards[self.shard(name)]
        known = shard.units.get(key(f"m{name}"))
        attempts = known.record.attempts + 1 if known else 0
        self.process.put(
            f"m{name}", f"d{name % 6}", self.shard(name), attempts=attempts, unreachable=unreachable
        )

    @rule(name=NAMES)
    def end(self, name: int) -> None:
        if key(f"m{name}") in self.process.shards[self.shard(name)].units:
            self.process.delivered(f"m{name}", self.shard(name))

    @rule(name=NAMES, wait=st.sampled_from([0.0, 1.0]))
    def put_back(self, name: int, wait: float) -> None:
        shard = self.process.shards[self.shard(name)]
        shard.put_back(key(f"m{name}"), self.process.now + wait)

    @rule(shard=st.integers(0, 1), wait=st.sampled_from([0.0, 0.5, 70.0]))
    def due(self, shard: int, wait: float) -> None:
        self.process.now += wait
        before = {name: site.out for name, site in self.process.sites._sites.items()}
        self.process.due(shard)
        for name, site in self.process.sites._sites.items():
            assert site.out <= max(before[name], site.limit.concurrency)

    @invariant()
    def what_is_out_is_what_is_counted(self) -> None:
        if not hasattr(self, "process"):
            return
        shards = self.process.shards
        counted = Counter(out.site for shard in shards for out in shard.out.values() if out.site)
        for site in self.process.sites._sites.values():
            assert site.out == counted[site]
        for n, shard in enumerate(shards):
            lane = shard._lanes[REMOTE]
            assert all(names for names in lane._waiting.values())
            waiting = {name for names in lane._waiting.values() for name in names}
            assert waiting == {d.name for d in lane._destinations.values() if d.site}
            assert waiting <= set(lane._held_up), n

    @rule()
    def everything_goes_out_in_the_end(self) -> None:
        shards = self.process.shards
        pending = {k for shard in shards for k in shard.units}
        went = {k for shard in shards for k in shard.out}
        for _ in range(100):
            for n, shard in enumerate(shards):
                for out in list(shard.out):
                    self.process.delivered(out.mail_id, n)
            for n in range(len(shards)):
                went |= {key(name) for name in self.process.due(n)}
            if not any(shard.units for shard in shards):
                break
            if not any(shard.out for shard in shards):
                instants = [at for shard in shards if (at := shard.next_due()) is not None]
                assert instants, "something waits, and nothing would wake it"
                self.process.now = max(self.process.now, min(instants))
        assert went == pending


TestTogether = Together.TestCase
TestTogether.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
