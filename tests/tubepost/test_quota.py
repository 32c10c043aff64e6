"""A mailbox's quota, as vpopmail's operators write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.errors import BadInput
from tubepost.quota import ANY, Quota, Used, parse_quota


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("10M", Quota(10_485_760)),
        ("10MB", Quota(10_485_760)),
        ("10m", Quota(10_485_760)),
        (" 10K ", Quota(10_240)),
        ("2G", Quota(2 * 1024**3)),
        ("1000000S", Quota(1_000_000)),
        ("1000000", Quota(1_000_000)),
        ("1000S,10C", Quota(1000, 10)),
        ("10C", Quota(0, 10)),
        ("10C,1M", Quota(1024**2, 10)),
        ("NOQUOTA", ANY),
        ("noquota", ANY),
    ],
)
def test_what_vpopmail_takes(text: str, quota: Quota) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize(
    "text", ["", "0", "0M", "-1", "M", "10T", "1.5M", "many", "1000S,10S", "10C,", "10CB", "9" * 16]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadInput, match="NOQUOTA"):
        parse_quota(text)


@given(st.builds(Quota, st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1)))
def test_what_is_shown_can_be_set(quota: Quota) -> None:
    assert parse_quota(str(quota)) == quota


@pytest.mark.parametrize(
    ("quota", "used", "more", "fits"),
    [
        (ANY, Used(10**12, 10**9), Used(1, 1), True),
        (Quota(100), Used(60, 9), Used(40, 1), True),
        (Quota(100), Used(60, 9), Used(41, 1), False),
        (Quota(0, 10), Used(10**9, 9), Used(1, 1), True),
        (Quota(0, 10), Used(0, 10), Used(1, 1), False),
        (Quota(100, 10), Used(99, 10), Used(1, 1), False),
    ],
)
def test_an_exact_fit_has_room(quota: Quota, used: Used, more: Used, fits: bool) -> None:
    assert quota.has_room(used, more) is fits
