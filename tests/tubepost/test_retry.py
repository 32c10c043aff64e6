"""qmail-send's schedule, to the second."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.retry import is_last, next_attempt

WEEK = 604_800.0
CREATED = 1_700_000_000.0


def instants(channel: str, lifetime: float = WEEK) -> list[float]:
    """The ages at which a mail that is always deferred at once is tried."""
    ages = [0.0]
    while not is_last(CREATED, CREATED + ages[-1], lifetime):
        ages.append(next_attempt(CREATED, CREATED + ages[-1], channel) - CREATED)
    return ages


@pytest.mark.parametrize(
    ("channel", "first"),
    [("remote", [0, 400, 1600, 3600, 6400, 10_000]), ("local", [0, 100, 400, 900, 1600])],
)
def test_the_first_instants(channel: str, first: list[float]) -> None:
    assert instants(channel)[: len(first)] == first


def test_a_remote_mail_is_tried_40_times_in_a_week() -> None:
    ages = instants("remote")
    assert (ages[-1], len(ages)) == (608_400, 40)
    assert [age > WEEK for age in ages] == [False] * 39 + [True]


def test_a_local_mail_is_tried_79_times_in_a_week() -> None:
    ages = instants("local")
    assert (ages[-1], len(ages)) == (608_400, 79)


def test_a_lifetime_of_zero_gives_two_tries() -> None:
    """At age 0 nothing is over yet: qmail-send compares with >."""
    assert instants("remote", 0.0) == [0, 400]


def test_a_late_try_does_not_shift_the_schedule_by_its_delay() -> None:
    assert next_attempt(CREATED, CREATED + 450, "remote") == CREATED + 41**2


def test_a_clock_that_went_back_counts_as_no_age() -> None:
    assert next_attempt(CREATED, CREATED - 1000, "remote") == CREATED + 400


@given(st.floats(0, 1e10), st.floats(0, 1e8), st.sampled_from(["local", "remote"]))
def test_between_two_tries_is_at_least_the_first_gap(
    created: float, age: float, channel: str
) -> None:
    now = created + age
    gap = 99 if channel == "local" else 399
    assert next_attempt(created, now, channel) - now >= gap - 1e-3


def test_the_gaps_grow() -> None:
    ages = instants("remote")
    gaps = [later - sooner for sooner, later in pairwise(ages)]
    assert gaps == sorted(gaps)
