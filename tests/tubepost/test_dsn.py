"""The parameters of RFC 3461: what is taken, what is refused, what they mean."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import dsn
from tubepost.errors import BadInput


@pytest.mark.parametrize(
    ("parse", "text", "kept"),
    [
        (dsn.parse_ret, "full", "FULL"),
        (dsn.parse_ret, "HDRS", "HDRS"),
        (dsn.parse_envid, "QQ314159", "QQ314159"),
        (dsn.parse_envid, "a+2Bb+3Dc+20d", "a+2Bb+3Dc+20d"),
        (dsn.parse_envid, "x" * 100, "x" * 100),
        (dsn.parse_notify, "never", "NEVER"),
        (dsn.parse_notify, "Success", "SUCCESS"),
        (dsn.parse_notify, "DELAY,FAILURE,SUCCESS", "DELAY,FAILURE,SUCCESS"),
        (dsn.parse_orcpt, "rfc822;joe@example.org", "rfc822;joe@example.org"),
        (dsn.parse_orcpt, "X400;/S+3DJoe;/C+3DBE", "X400;/S+3DJoe;/C+3DBE"),
        (dsn.parse_orcpt, "a;" + "x" * 498, "a;" + "x" * 498),
        (dsn.parse_orcpt, r"UTF-8;zo\x{EB}@x.y", r"UTF-8;zo\x{EB}@x.y"),
        (dsn.parse_utf8_orcpt, "utf-8;zoë@x.y", r"utf-8;zo\x{EB}@x.y"),
        (dsn.parse_utf8_orcpt, "rfc822;joe@x.y", "rfc822;joe@x.y"),
    ],
)
def test_what_is_taken(parse: Callable[[str], str], text: str, kept: str) -> None:
    assert parse(text) == kept


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (dsn.parse_ret, "", "RET is FULL or HDRS"),
        (dsn.parse_ret, "BODY", "RET is FULL or HDRS"),
        (dsn.parse_envid, "", "not xtext"),
        (dsn.parse_envid, "x" * 101, "100 characters"),
        (dsn.parse_envid, "a b", "not xtext"),
        (dsn.parse_envid, "a=b", "not xtext"),
        (dsn.parse_envid, "a+2b", "not xtext"),
        (dsn.parse_envid, "a+", "not xtext"),
        (dsn.parse_envid, "a+0D+0AAction:+20x", "printable"),
        (dsn.parse_envid, "a+FF", "printable"),
        (dsn.parse_envid, "caf\u00e9", "not xtext"),
        (dsn.parse_notify, "", "NEVER alone"),
        (dsn.parse_notify, "NEVER,FAILURE", "NEVER alone"),
        (dsn.parse_notify, "SUCCESS,", "NEVER alone"),
        (dsn.parse_notify, "SUCCESS;DELAY", "NEVER alone"),
        (dsn.parse_notify, "ALWAYS", "NEVER alone"),
        (dsn.parse_orcpt, "", "TYPE;ADDRESS"),
        (dsn.parse_orcpt, "joe@example.org", "TYPE;ADDRESS"),
        (dsn.parse_orcpt, ";joe@example.org", "TYPE;ADDRESS"),
        (dsn.parse_orcpt, "rfc 822;joe@example.org", "TYPE;ADDRESS"),
        (dsn.parse_orcpt, "rfc822;", "printable"),
        (dsn.parse_orcpt, "rfc822;a=b", "printable"),
        (dsn.parse_orcpt, "rfc822;a+0Ab", "printable"),
        (dsn.parse_orcpt, "a;" + "x" * 499, "500 characters"),
    ],
)
def test_what_is_refused(parse: Callable[[str], str], text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        parse(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=30))
def test_xtext_gives_the_text_back(text: str) -> None:
    xtext = dsn.encoded(text)
    assert dsn.decoded(xtext) == text
    assert dsn.parse_envid(xtext) == xtext


@pytest.mark.parametrize(
    ("notify", "failure", "success", "delay"),
    [
        ("", True, False, True),
        ("NEVER", False, False, False),
        ("SUCCESS", False, True, False),
        ("FAILURE", True, False, False),
        ("DELAY", False, False, True),
        ("SUCCESS,FAILURE,DELAY", True, True, True),
    ],
)
def test_what_is_wanted(notify: str, failure: bool, success: bool, delay: bool) -> None:
    wanted = dsn.wants_failure(notify), dsn.wants_success(notify), dsn.wants_delay(notify)
    assert wanted == (failure, success, delay)


def test_who_can_be_told() -> None:
    assert dsn.answerable("joe@example.org")
    assert dsn.answerable("list-@example.org-@[]")
    assert not dsn.answerable("")
    assert not dsn.answerable("#@[]")


@pytest.mark.parametrize(
    "text",
    [
        "utf-8;zoë@x.y",
        r"utf-8;a\x{0A}b",
        r"utf-8;a\x{D800}b",
        r"utf-8;a\x{FFFFFF}b",
        "utf-8;a+2Bb",
        "utf-8;a\\b",
        "utf-8;",
    ],
)
def test_a_utf8_address_hides_nothing(text: str) -> None:
    with pytest.raises(BadInput):
        dsn.parse_orcpt(text)


@given(st.text("aé☃+=\\ @.", min_size=1, max_size=30))
def test_a_utf8_address_that_was_encoded_is_one(text: str) -> None:
    made = f"utf-8;{dsn.utf8_encoded(text)}"
    assert made.isascii()
    assert dsn.parse_orcpt(made) == made
