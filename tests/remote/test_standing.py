"""What a failure makes of a host, and how long it is left alone."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.standing import FORGOTTEN_AFTER, Standing, after_failure, decode, encode
from tubepost.backoff import LONGEST_WAIT

NOW = 1_700_000_000.0
NAME = "v4.192.0.2.7.25"


def failed(before: Standing | None, now: float, longest: float = LONGEST_WAIT) -> Standing:
    return after_failure(before, now, NAME, "timed out", longest)


def test_one_failure_is_none() -> None:
    once = failed(None, NOW)
    assert (once.backed_off, once.until, once.opens(NOW)) == (False, 0.0, 0.0)


def test_two_are_a_minute() -> None:
    twice = failed(failed(None, NOW), NOW + 5)
    assert twice.backed_off
    assert 54 <= twice.until - (NOW + 5) <= 66
    assert twice.opens(NOW + 6) == twice.until
    assert twice.opens(twice.until) == 0.0
    assert twice.since == NOW


@pytest.mark.parametrize(("longest", "most"), [(3600.0, 3960.0), (100.0, 110.0)])
def test_each_try_that_fails_doubles_the_wait_up_to_the_longest(
    longest: float, most: float
) -> None:
    standing, now = failed(None, NOW, longest), NOW
    waits = []
    for _ in range(12):
        standing = failed(standing.tried(now), now + 1, longest)
        waits.append(standing.until - now - 1)
        now = standing.until
    assert waits[0] < waits[1] or longest == 100.0
    assert max(waits) <= most
    assert min(waits[8:]) >= 0.9 * longest


def test_what_was_under_way_when_it_began_says_nothing_new() -> None:
    twice = failed(failed(None, NOW), NOW)
    assert failed(twice, NOW + 1) is twice


def test_a_try_that_is_never_told_of_ends_by_itself() -> None:
    twice = failed(failed(None, NOW), NOW)
    tried = twice.tried(twice.until)
    assert tried.opens(twice.until) == twice.until + 30
    assert tried.opens(tried.until) == 0.0


def test_what_is_old_is_forgotten() -> None:
    once = failed(None, NOW)
    later = NOW + FORGOTTEN_AFTER + 1
    assert once.forgotten(later)
    assert failed(once, later).failures == 1


def test_the_text_says_why_and_until_when() -> None:
    twice = replace(failed(failed(None, NOW), NOW), until=NOW + 60)
    assert str(twice) == "timed out; again from 2023-11-14 22:14:20 UTC"
    assert str(twice.tried(NOW)) == "timed out; another delivery tries it just now"


def test_the_reason_is_one_short_line() -> None:
    why = after_failure(None, NOW, NAME, "421 no\r\n\x00" + "x" * 5000, 3600).why
    assert why.startswith("421 no/?xxx")
    assert len(why) == 200


@given(st.lists(st.tuples(st.floats(0, 5000), st.booleans()), max_size=30))
def test_no_story_locks_a_host_out_for_longer_than_the_longest_wait(
    story: list[tuple[float, bool]],
) -> None:
    standing, now = None, NOW
    for wait, tries in story:
        now += wait
        if standing and tries and not standing.opens(now):
            standing = standing.tried(now)
        standing = failed(standing, now)
        assert standing.until <= now + 1.1 * LONGEST_WAIT
        assert not standing.until or standing.backed_off
        assert decode(b"") is None


def test_what_is_written_is_what_is_read() -> None:
    standing = failed(failed(None, NOW), NOW).tried(NOW + 90)
    assert decode(json.dumps(encode(standing)).encode()) == standing


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b'{"failures": "many"}', b"\xff"])
def test_what_is_none_is_none(data: bytes) -> None:
    assert decode(data) is None
