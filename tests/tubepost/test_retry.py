"""qmail-send's schedule, to the second; the exponential one; what the jitter may do."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import retry
from tubepost.errors import BadInput
from tubepost.retry import JITTER, Exponential, Quadratic, Rules

WEEK = 604_800.0
BORN = 1_700_000_000.0
EXACT = Rules(WEEK, jitter=0)

GOLDEN = [
    0, 400, 1600, 3600, 6400, 10_000, 14_400, 19_600, 25_600, 32_400,
    40_000, 48_400, 57_600, 67_600, 78_400, 90_000, 102_400, 115_600, 129_600, 144_400,
    160_000, 176_400, 193_600, 211_600, 230_400, 250_000, 270_400, 291_600, 313_600, 336_400,
    360_000, 384_400, 409_600, 435_600, 462_400, 490_000, 518_400, 547_600, 577_600, 608_400,
]  # fmt: skip
"""SEND-5: the ages at which qmail-send tries a remote mail that lives for seven days."""


def ages(channel: str, rules: Rules = EXACT, chances: float = 0.0) -> list[float]:
    """The ages at which a mail that is always deferred at once is tried."""
    found = [0.0]
    while not rules.is_last(BORN, BORN + found[-1]):
        now = BORN + found[-1]
        found.append(rules.next_attempt(BORN, now, channel, len(found), chances) - BORN)
    return found


def test_the_40_instants_of_a_remote_mail_in_a_week() -> None:
    assert ages("remote") == GOLDEN
    assert [age > WEEK for age in GOLDEN] == [False] * 39 + [True]


def test_the_79_instants_of_a_local_mail_in_a_week() -> None:
    found = ages("local")
    assert found[:5] == [0, 100, 400, 900, 1600]
    assert (found[-1], len(found)) == (608_400, 79)


def test_the_lifetime_of_the_guide_gives_47_tries() -> None:
    found = ages("remote", Rules(846_000, jitter=0))
    assert (found[-1], len(found)) == (846_400, 47)


def test_a_lifetime_of_zero_gives_two_tries() -> None:
    """At age 0 nothing is over yet: qmail-send compares with >."""
    assert ages("remote", Rules(0, jitter=0)) == [0, 400]


@given(st.floats(0, 1), st.sampled_from(["remote", "local"]))
def test_jitter_makes_a_try_late_but_neither_more_tries_nor_less(
    chance: float, channel: str
) -> None:
    """A late try is not carried over: the step after it is the schedule's own again."""
    exact, found = ages(channel), ages(channel, Rules(WEEK), chance)
    assert len(found) == len(exact)
    waits = [after - before for before, after in pairwise(exact)]
    for late, at, wait in zip(found[1:], exact[1:], waits, strict=True):
        assert at - 1e-6 <= late <= at + JITTER * wait + 1e-6


def test_mails_deferred_together_do_not_come_back_together() -> None:
    rules = Rules(WEEK)
    found = [
        rules.next_attempt(BORN, BORN, "remote", 1, retry.chance(f"0.{n}.0 0")) - BORN
        for n in range(1000)
    ]
    per_second = [sum(at <= age < at + 1 for age in found) for at in range(400, 417)]
    assert sum(per_second) == 1000
    assert max(per_second) < 120


def test_a_late_try_does_not_shift_the_schedule_by_its_delay() -> None:
    assert EXACT.next_attempt(BORN, BORN + 450, "remote", 1) == BORN + 41**2


def test_a_clock_that_went_back_counts_as_no_age() -> None:
    assert EXACT.next_attempt(BORN, BORN - 1000, "remote", 1) == BORN + 400


@given(st.floats(0, 1e10), st.floats(0, 1e8), st.sampled_from(["local", "remote"]))
def test_between_two_tries_is_at_least_the_first_gap(born: float, age: float, channel: str) -> None:
    now = born + age
    gap = 99 if channel == "local" else 399
    assert EXACT.next_attempt(born, now, channel, 1) - now >= gap - 1e-3


def test_an_exponential_schedule_grows_to_its_most() -> None:
    rules = Rules(WEEK, Exponential(300, 2, 3600), jitter=0)
    assert ages("remote", rules)[:8] == [0, 300, 900, 2100, 4500, 8100, 11_700, 15_300]
    assert ages("local", rules)[:8] == ages("remote", rules)[:8]


@given(st.integers(1, 10**9))
def test_an_exponential_schedule_knows_no_overflow(attempts: int) -> None:
    assert Exponential(1, 100, 604_800).wait(0, attempts, "remote") <= 604_800


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("qmail", Quadratic()),
        ("exponential 300 2 14400", Exponential(300, 2, 14_400)),
        ("exponential 1 1.5 1", Exponential(1, 1.5, 1)),
    ],
)
def test_a_schedule_is_read(text: str, schedule: retry.Schedule) -> None:
    assert retry.parse(text) == schedule


@pytest.mark.parametrize(
    "text",
    ["", "postfix", "qmail 5", "exponential", "exponential 300 2", "exponential 0 2 10",
     "exponential 300 0.5 600", "exponential 600 2 300", "exponential 1 2 nan",
     "exponential a b c"],
)  # fmt: skip
def test_another_schedule_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(BadInput, match="exponential FIRST FACTOR MOST"):
        retry.parse(text)
