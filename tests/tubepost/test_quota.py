"""A mailbox's quota, as vpopmail's operators write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.errors import BadInput
from tubepost.quota import parse_quota, shown


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("10M", 10_485_760),
        ("10MB", 10_485_760),
        ("10m", 10_485_760),
        (" 10K ", 10_240),
        ("2G", 2 * 1024**3),
        ("1000000S", 1_000_000),
        ("1000000", 1_000_000),
        ("NOQUOTA", 0),
        ("noquota", 0),
    ],
)
def test_what_vpopmail_takes(text: str, octets: int) -> None:
    assert parse_quota(text) == octets


@pytest.mark.parametrize(
    "text", ["", "0", "0M", "-1", "M", "10T", "1.5M", "many", "1000S,10C", "10C", "9" * 16]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadInput, match="NOQUOTA"):
        parse_quota(text)


@given(st.integers(0, 10**15 - 1))
def test_what_is_shown_can_be_set(quota: int) -> None:
    assert parse_quota(shown(quota)) == quota
