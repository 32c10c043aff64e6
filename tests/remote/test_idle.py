"""Which idle session is taken and which one has to go. No socket, no clock."""

from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.idle import IdleSessions, Limits, spent

LIMITS = Limits(idle=5, life=300, mails=100)


@dataclass(eq=False)
class Fake:
    born: float = 0.0
    mails: int = 1
    usable: bool = True
    most: float = inf


def test_the_session_used_last_is_taken_first() -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    old, new = Fake(), Fake()
    idle.keep("a", old, 1.0)
    idle.keep("a", new, 2.0)
    assert idle.take("a", 3.0, LIMITS) is new
    assert idle.take("a", 3.0, LIMITS) is old
    assert idle.take("a", 3.0, LIMITS) is None
    assert len(idle) == 0


def test_a_session_is_for_its_own_key_only() -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    idle.keep("a", Fake(), 1.0)
    assert idle.take("b", 1.0, LIMITS) is None
    assert "a" in idle
    assert "b" not in idle


@pytest.mark.parametrize(
    ("session", "now"),
    [
        (Fake(usable=False), 10.0),
        (Fake(mails=100), 10.0),
        (Fake(born=-291.0), 10.0),
        (Fake(), 15.0),
    ],
    ids=["ended", "enough mails", "too old", "idle too long"],
)
def test_a_session_that_is_over_is_neither_taken_nor_kept(session: Fake, now: float) -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    idle.keep("a", session, 10.0)
    assert idle.take("a", now, LIMITS) is None
    assert idle.over(now, LIMITS) == [session]
    assert len(idle) == 0


def test_one_that_ended_hides_no_other_one() -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    good, dead = Fake(), Fake(usable=False)
    idle.keep("a", good, 1.0)
    idle.keep("a", dead, 2.0)
    assert "a" in idle
    assert idle.take("a", 2.0, LIMITS) is good
    assert "a" not in idle
    assert idle.over(2.0, LIMITS) == [dead]


def test_a_limit_that_was_lowered_counts_at_once() -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    idle.keep("a", session := Fake(), 1.0)
    assert idle.over(2.0, LIMITS) == []
    assert idle.over(2.0, Limits(idle=0, life=300, mails=100)) == [session]


def test_too_many_of_a_kind_put_out_the_longest_idle_one() -> None:
    idle: IdleSessions[Fake] = IdleSessions(most_alike=2)
    first, second, third, other = Fake(), Fake(), Fake(), Fake()
    assert idle.keep("b", other, 0.0) == []
    assert idle.keep("a", first, 1.0) == []
    assert idle.keep("a", second, 2.0) == []
    assert idle.keep("a", third, 3.0) == [first]
    assert len(idle) == 3


def test_too_many_in_all_put_out_the_longest_idle_one() -> None:
    idle: IdleSessions[Fake] = IdleSessions(most=2)
    first, second = Fake(), Fake()
    idle.keep("a", first, 1.0)
    idle.keep("b", second, 2.0)
    assert idle.take("a", 2.5, LIMITS) is first
    idle.keep("a", first, 2.5)
    assert idle.keep("c", Fake(), 3.0) == [second]


def test_clear_lets_go_of_all() -> None:
    idle: IdleSessions[Fake] = IdleSessions()
    sessions = [Fake(), Fake(), Fake()]
    for number, session in enumerate(sessions):
        idle.keep(number % 2, session, 1.0)
    assert set(idle.clear()) == set(sessions)
    assert idle.clear() == []
    assert 0 not in idle


@pytest.mark.parametrize(
    ("session", "so"),
    [
        (Fake(), False),
        (Fake(mails=99, born=-199.9), False),
        (Fake(mails=100), True),
        (Fake(mails=6, most=7), False),
        (Fake(mails=7, most=7), True),
        (Fake(born=-200), True),
        (Fake(usable=False), True),
    ],
)
def test_when_a_session_is_spent(session: Fake, so: bool) -> None:
    assert spent(session, 100.0, LIMITS) is so


STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "take", "over", "die"]), st.integers(0, 2), st.floats(0, 3)),
    max_size=60,
)


@given(STEPS)
def test_no_session_is_lost_and_none_is_handed_out_twice(
    steps: list[tuple[str, int, float]],
) -> None:
    idle: IdleSessions[Fake] = IdleSessions(most=4, most_alike=2)
    inside: list[Fake] = []
    now = 0.0
    for what, key, seconds in steps:
        now += seconds
        out: list[Fake] = []
        if what == "keep":
            inside.append(session := Fake(born=now))
            out = idle.keep(key, session, now)
        elif what == "take":
            taken = idle.take(key, now, LIMITS)
            assert taken is None or not spent(taken, now, LIMITS)
            out = [taken] if taken else []
        elif what == "over":
            out = idle.over(now, LIMITS)
        elif inside:
            inside[0].usable = False
        for session in out:
            inside.remove(session)  # raises where it is not there
        assert len(idle) == len(inside) <= 4
        assert set(idle._alike) == {waiting.key for waiting in idle._all}
    assert idle.clear() == inside
