"""Who is ourselves, and what may be tried where we are among the hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.loop_guard import NOBODY, NOWHERE, Ourselves, own_preference

US = Ourselves(frozenset(["mx.example.org", ".in.example.org", "192.0.2.1", "2001:db8::1"]))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("mx.example.org", True),
        ("MX.Example.org", True),
        ("a.mx.example.org", False),
        ("a.in.example.org", True),
        ("in.example.org", False),
        ("192.0.2.1", True),
        ("192.0.2.11", False),
        ("2001:db8::1", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("", False),
        (None, False),
    ],
)
def test_who_is_ourselves(host: str | None, ours: bool) -> None:
    assert (host in US) is ours
    assert host not in NOBODY


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        ([], NOWHERE),
        ([(10, "a.example"), (20, "b.example")], NOWHERE),
        ([(10, "a.example"), (20, "mx.example.org")], 20),
        ([(10, "192.0.2.1"), (20, "mx.example.org")], 10),
    ],
)
def test_the_best_preference_we_have(candidates: list[tuple[int, str]], best: float) -> None:
    assert own_preference(candidates, US) == best


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["mx.example.org", "a", "b"]))))
def test_what_is_better_is_never_us_and_leaves_nobody_out(
    candidates: list[tuple[int, str]],
) -> None:
    own = own_preference(candidates, US)
    better = [host for preference, host in candidates if preference < own]
    assert "mx.example.org" not in better
    if "mx.example.org" not in [host for _, host in candidates]:
        assert len(better) == len(candidates)
