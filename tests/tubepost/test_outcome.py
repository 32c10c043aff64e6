"""Enhanced status codes in replies, and texts that fit one line of a log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.outcome import (
    MAX_TEXT,
    Deferred,
    Delivered,
    Failed,
    one_line,
    peer_in,
    said_in,
    status_of,
    timed,
)


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        ("5.1.1 no such user", 550, "5.1.1"),
        ("550 5.1.1 no such user", 550, "5.1.1"),
        ("550-5.7.26 first\n550 5.7.26 second", 550, "5.7.26"),
        ("4.2.2 mailbox full", 452, "4.2.2"),
        ("2.0.0 ok", 250, "2.0.0"),
        ("first line\n5.1.2 second", 550, "5.1.2"),
        ("first line/5.1.2 second", 550, "5.1.2"),
        ("no code here", 550, "5.0.0"),
        ("no code here", 421, "4.0.0"),
        ("", 250, "2.0.0"),
        ("4.2.2 a temporary code in a permanent reply", 550, "5.0.0"),
        ("see 5.1.1 for more", 550, "5.0.0"),
        ("5.1.1.1 is an address", 550, "5.0.0"),
        ("3.1.1 is no class", 354, "3.0.0"),
        ("5.1234.1 has too many digits", 550, "5.0.0"),
    ],
)
def test_status_of(reply: str, code: int, status: str) -> None:
    assert status_of(reply, code) == status


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("a\r\nb\nc\rd", "a/b/c/d"),
        ("a\n\n \nb\n", "a/b"),
        ("tab\there ö \x1b[1m", "tab?here ? ?[1m"),
        ("", ""),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text(max_size=MAX_TEXT * 2), st.integers(0, 300))
def test_one_line_is_one_line_whatever_comes(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert all(" " <= c <= "~" for c in line)


def test_general_status_by_default() -> None:
    assert (Deferred(text="x").status, Failed(text="x").status) == ("4.0.0", "5.0.0")


def test_the_seconds_a_host_took_are_everybody_s_who_shares_its_outcome() -> None:
    done, busy = Delivered(text="ok"), Deferred(text="busy")
    found = timed({"a": done, "b": busy, "c": done}, 1.5)
    assert found == {"a": done, "b": busy, "c": done}, "how long it took makes no other outcome"
    assert {outcome.seconds for outcome in found.values()} == {1.5}
    assert found["a"] is found["c"]


AT = "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "peer", "said"),
    [
        (
            f"{AT} does not like recipient./Remote host said: 550 no/Giving up on {AT}.",
            AT,
            "550 no",
        ),
        (f"{AT} does not like recipient./Remote host said: 550 no/Giving up on 192.", AT, "550 no"),
        (f"{AT} failed on DATA command./Remote host said: 451 a/b", AT, "451 a/b"),
        (f"{AT} failed after I sent the message./Remote host said: 554 x", AT, "554 x"),
        (f"{AT} accepted message./Remote host said: 250 ok", AT, "250 ok"),
        ("Connected to ::1 but sender was rejected./Remote host said: 550 a", "::1", "550 a"),
        (f"Connected to {AT} but connection died. (#4.4.2)", AT, ""),
        (f"Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)/{AT}: timed out", "", ""),
        ("a.b does not like recipient./Remote host said: 550 no", "", "550 no"),
        ("Sorry, I couldn't find any host by that name. (#4.1.2)", "", ""),
        ("", "", ""),
    ],
)
def test_what_a_text_of_remote_holds(text: str, peer: str, said: str) -> None:
    assert (peer_in(text), said_in(text)) == (peer, said)
