"""SRS: a sender goes out and comes back the same, and nobody else can make one."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tubepost import srs
from tubepost.address import MAX_LOCAL, Address, parse_address

SECRET, OTHER = "a secret of ours, long", "the one before that one"
NOW = 1_700_000_000.0
DAY = 86_400.0
OURS = "srs.example.org"

LOCALS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40),
    st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable()),
    st.from_regex(r"[A-Za-z]{1,8}([.=+-][A-Za-z0-9]{1,8}){0,2}", fullmatch=True),
)
DOMAINS = st.from_regex(r"[a-z]{1,12}(\.[a-z]{2,8}){1,2}", fullmatch=True) | st.sampled_from(
    ["[192.0.2.1]", "[IPv6:2001:db8::1]"]
)
SENDERS = st.builds(Address, LOCALS, DOMAINS)


def back(text: str, *secrets: str, now: float = NOW) -> str | None:
    return srs.reverse(parse_address(text, utf8=True), secrets or (SECRET,), now)


def test_a_sender_is_written_as_other_forwarders_do() -> None:
    sent = srs.forward(Address("Joe.Doe", "far.example"), OURS, SECRET, NOW)
    assert sent == "SRS0=NEXFZ=G3=far.example=Joe.Doe@srs.example.org"
    assert back(sent) == "Joe.Doe@far.example"


@given(SENDERS)
def test_whatever_fits_comes_back_as_it_was(sender: Address) -> None:
    assume(not srs.is_rewritten(sender))
    sent = srs.forward(sender, OURS, SECRET, NOW)
    assume(sent is not None)
    assert sent is not None
    assert back(sent) == str(sender)


@given(SENDERS, st.integers(0, srs.LIFETIME))
def test_a_second_forwarder_adds_itself_and_a_third_takes_its_place(
    sender: Address, days: int
) -> None:
    """Each undoes what it did itself; the first one alone knows the sender."""
    assume(not srs.is_rewritten(sender))
    first = srs.forward(sender, "one.example", OTHER, NOW)
    assume(first is not None)
    assert first is not None
    second = srs.forward(parse_address(first, utf8=True), "two.example", SECRET, NOW)
    assume(second is not None)
    assert second is not None
    third = srs.forward(parse_address(second, utf8=True), OURS, SECRET, NOW)
    assert third is not None, "it never grows again"
    for later in (second, third):
        assert back(later, SECRET, now=NOW + days * DAY) == first
    assert back(first, OTHER, now=NOW + days * DAY) == str(sender)


@given(SENDERS)
def test_what_is_too_long_for_an_address_is_not_made(sender: Address) -> None:
    sent = srs.forward(sender, OURS, SECRET, NOW)
    if sent is None:
        assert len(f"SRS0=HHHHH=TT={sender.domain}={sender.local}".encode()) > MAX_LOCAL or (
            srs.is_rewritten(sender)
        )
    else:
        assert parse_address(sent, utf8=True).domain == OURS


SENT = srs.forward(Address("joe", "far.example"), OURS, SECRET, NOW) or ""


def test_the_case_of_its_letters_may_change_on_the_way() -> None:
    assert back(SENT.lower()) == "joe@far.example"
    assert back(SENT.upper()) == "JOE@far.example"


@pytest.mark.parametrize("days", [-1, 0, 1, srs.LIFETIME, srs.LIFETIME + 0.05])
def test_it_can_be_answered_for_three_weeks(days: float) -> None:
    assert back(SENT, now=NOW + days * DAY) == "joe@far.example"


@pytest.mark.parametrize("days", [-2, srs.LIFETIME + 1, 100, 1000])
def test_and_not_later(days: float) -> None:
    assert back(SENT, now=NOW + days * DAY) is None


def test_one_that_was_signed_with_an_older_secret_is_still_ours() -> None:
    assert back(SENT, OTHER, SECRET) == "joe@far.example"
    assert back(SENT, OTHER) is None
    assert srs.reverse(parse_address(SENT), (), NOW) is None


@pytest.mark.parametrize("place", range(5, len("SRS0=HHHHH=TT=far.example=joe")))
def test_one_that_was_changed_is_nobodys(place: int) -> None:
    """But for the separators: those cannot be changed and still be read."""
    local, _, domain = SENT.partition("@")
    other = "a" if local[place].lower() != "a" else "b"
    assert back(f"{local[:place]}{other}{local[place + 1 :]}@{domain}") is None


@pytest.mark.parametrize(
    "local",
    ["joe", "SRS0", "SRS0=", "SRS0=x", "SRS0=a=b=c", "SRS0=a=b=c=d", "SRS1=x", "SRS1=a=b",
     "SRS1=a=b=c", "srs0+a=b=c=d", "SRS2=a=b=c=d", "SRS0=AAAAA=??=far.example=joe"],
)  # fmt: skip
def test_what_is_none_of_ours_is_nobodys(local: str) -> None:
    assert srs.reverse(Address(local, OURS), (SECRET,), NOW) is None


@given(st.text(max_size=60))
def test_no_left_side_is_too_odd(local: str) -> None:
    assert srs.reverse(Address(f"SRS0={local}", OURS), (SECRET,), NOW) is None
    assert srs.reverse(Address(f"SRS1={local}", OURS), (SECRET,), NOW) is None
