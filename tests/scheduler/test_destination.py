"""What a destination is trusted with, and when it is left alone."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.destination import START, Destination
from tests.scheduler.units import NOW
from tubepost.backoff import FIRST_WAIT, LONGEST_WAIT, wait
from tubepost.destination_limits import Limit

NAME = "far.example"


def dead(failures: int = 2, limit: int = 20) -> Destination:
    """It failed that often, each time with the first job after its back-off."""
    destination, now = Destination(Limit(limit)), NOW
    for _ in range(failures):
        destination.failed(now, now + 1, NAME, "no connection")
        now = max(now + 1, destination.until)
    return destination


def test_it_begins_with_a_few_and_each_answer_allows_one_more() -> None:
    destination = Destination(Limit(7))
    seen = [destination.allowed]
    for _ in range(4):
        destination.answered()
        seen.append(destination.allowed)
    assert seen == [START, 6, 7, 7, 7]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_lower_limit_is_where_it_begins(limit: int) -> None:
    assert Destination(Limit(limit)).allowed == limit


def test_a_failure_halves_and_an_answer_grows_again() -> None:
    destination = Destination(Limit(20))
    assert destination.failed(NOW, NOW + 1, NAME, "refused") is False
    assert (destination.allowed, destination.failures, destination.error) == (2, 1, "refused")
    destination.answered()
    assert (destination.allowed, destination.failures, destination.backed_off) == (3, 0, False)


def test_two_failures_and_an_answer_between_them_are_no_reason() -> None:
    destination = Destination(Limit(20))
    for _ in range(10):
        destination.failed(NOW, NOW + 1, NAME, "refused")
        destination.answered()
    assert not destination.backed_off
    assert destination.free_at(NOW + 2) <= NOW + 2


def test_two_failures_in_a_row_back_it_off_for_a_minute() -> None:
    destination = dead()
    assert destination.backed_off
    assert 54 <= destination.until - (NOW + 2) <= 66
    assert destination.free_at(NOW + 3) == destination.until
    assert destination.free_at(destination.until) <= destination.until


def test_then_one_unit_tries() -> None:
    destination = dead()
    now = destination.until
    destination.went_out(now)
    assert destination.free_at(now) == inf
    destination.came_back()
    assert destination.free_at(now) <= now


def test_what_was_out_before_the_back_off_says_nothing_new() -> None:
    destination = dead()
    until = destination.until
    for _ in range(18):
        assert destination.failed(NOW, NOW + 5, NAME, "timed out") is False
    assert (destination.until, destination.failures) == (until, 2)


def test_each_failed_probe_doubles_up_to_an_hour() -> None:
    lengths = [wait(NAME, n) for n in range(12)]
    base = [min(FIRST_WAIT * 2**n, LONGEST_WAIT) for n in range(12)]
    assert all(0.9 * b <= length <= 1.1 * b for b, length in zip(base, lengths, strict=True))
    assert len(set(lengths[6:])) > 1, "the spread is not always the same"
    assert {wait(f"{n}.example", 0) for n in range(50)} != {wait(NAME, 0)}


def test_a_probe_that_failed_lasts_longer() -> None:
    twice, thrice = dead(2), dead(3)
    assert thrice.until - twice.until > 100
    assert dead(100).failures == 100, "no overflow"


def test_the_probe_s_answer_opens_it() -> None:
    destination = dead(5)
    destination.answered()
    assert (destination.allowed, destination.backed_off, destination.until) == (START, False, 0.0)
    assert destination.blank


def test_a_new_owner_is_told_and_begins_with_one() -> None:
    destination = Destination(Limit(20))
    for _ in range(1000):
        destination.suspected("no connection")
    assert (destination.allowed, destination.failures, destination.troubled) == (1, 1, True)
    assert destination.failed(NOW, NOW + 1, NAME, "no connection") is True


def test_an_old_record_does_not_shut_what_answered() -> None:
    destination = Destination(Limit(20))
    destination.answered()
    destination.suspected("no connection")
    assert (destination.allowed, destination.failures) == (6, 0)


# --- rate


def test_a_second_s_worth_at_once_then_one_by_one() -> None:
    destination, went = Destination(Limit(100, rate=4.0), start=100), []
    now = NOW
    for _ in range(8):
        now = max(now, destination.free_at(now))
        destination.went_out(now)
        went.append(now - NOW)
    assert went == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0]


def test_a_slow_rate_lets_one_at_a_time() -> None:
    destination = Destination(Limit(5, rate=6 / 3600))
    destination.went_out(NOW)
    assert destination.free_at(NOW) == NOW + 600
    assert destination.remembered_until == NOW + 600, "else the next mail would not wait"


def test_a_job_that_was_not_sent_does_not_count() -> None:
    destination = Destination(Limit(5, rate=6 / 3600))
    destination.went_out(NOW)
    destination.came_back()
    destination.undone()
    assert destination.free_at(NOW) <= NOW


@given(st.lists(st.floats(0, 3), max_size=60), st.sampled_from([0.1, 1.0, 3.0, 50.0]))
def test_never_more_than_the_rate_and_a_second_s_worth(waits: list[float], rate: float) -> None:
    destination, now, went = Destination(Limit(1000, rate=rate), start=1000), NOW, []
    for pause in waits:
        now += pause
        at = destination.free_at(now)
        assert at <= now or destination.free_at(at) <= at, "it would never wake"
        if at <= now:
            destination.went_out(now)
            went.append(now)
    for first, start in enumerate(went):
        for last in range(first, len(went)):
            sent, took = last - first + 1, went[last] - start
            assert sent <= took * rate + max(1.0, rate) + 1e-3


# --- told to be slower


def test_who_sends_too_much_gets_half_as_much_and_is_no_host_that_is_away() -> None:
    destination = Destination(Limit(20))
    for _ in range(3):
        destination.answered()
    assert destination.allowed == 8
    destination.throttled(NOW + 1, NOW + 2)
    assert (destination.allowed, destination.failures, destination.backed_off) == (4, 0, False)
    destination.answered()
    assert destination.allowed == 5


def test_what_was_out_already_when_it_was_told_says_nothing_new() -> None:
    destination = Destination(Limit(20))
    for _ in range(11):
        destination.answered()
    for sent in range(16):
        destination.throttled(NOW + sent, NOW + 20)
    assert destination.allowed == 8
    destination.throttled(NOW + 21, NOW + 22)
    assert destination.allowed == 4


def test_it_keeps_one_however_often_it_is_told() -> None:
    destination = Destination(Limit(20))
    for second in range(10):
        destination.throttled(NOW + 2 * second, NOW + 2 * second + 1)
    assert destination.allowed == 1
    assert not destination.troubled
    assert destination.free_at(NOW + 30) <= NOW + 30


def test_a_host_that_says_so_is_there() -> None:
    destination = dead()
    destination.throttled(destination.until, destination.until + 1)
    assert (destination.backed_off, destination.until, destination.allowed) == (False, 0.0, 2)


# --- what is known of its hosts


def test_where_its_hosts_are_left_alone_it_waits_for_them_at_once_and_no_longer() -> None:
    destination = Destination(Limit(20))
    assert destination.failed(NOW, NOW + 1, NAME, "not tried", opens=NOW + 1000)
    assert destination.backed_off
    assert NOW + 1000 <= destination.until <= NOW + 1060


def test_its_own_failures_do_not_make_it_wait_behind_its_hosts() -> None:
    destination = dead(10)
    now = destination.until
    destination.failed(now, now + 1, NAME, "not tried", opens=now + 31)
    assert now + 31 <= destination.until <= now + 40


def test_what_was_known_of_its_hosts_and_is_over_counts_for_nothing() -> None:
    destination = Destination(Limit(20))
    assert not destination.failed(NOW, NOW + 1, NAME, "refused", opens=NOW)
    assert destination.failures == 1


def test_a_raised_rate_acts_at_once() -> None:
    destination = Destination(Limit(5, rate=1 / 3600))
    destination.went_out(NOW)
    destination.limit = Limit(5, rate=10.0)
    assert destination.free_at(NOW + 1) == pytest.approx(NOW + 1.1)


def test_a_clock_that_is_put_back_costs_one_turn() -> None:
    destination = Destination(Limit(5, rate=0.1))
    destination.went_out(NOW)
    assert destination.free_at(NOW - 3600) == NOW - 3590


def test_what_workers_hold_at_a_takeover_costs_one_turn() -> None:
    destination = Destination(Limit(20, rate=1 / 3600), start=20)
    for _ in range(10):
        destination.went_out(NOW)
    assert destination.free_at(NOW) == NOW + 3600
