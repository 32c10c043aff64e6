"""Replies on the wire: qmail's words, and the enhanced code in front where it was offered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.replies import status_of, wire, with_status
from tests.smtpd.client import connected
from tests.smtpd.running import Smtpd


@pytest.mark.parametrize(
    ("reply", "status", "expected"),
    [
        ("250 ok", "2.1.5", "250 2.1.5 ok"),
        ("250 ok 1 qp 2", "", "250 2.0.0 ok 1 qp 2"),
        ("550 no (#5.1.1)", "", "550 5.1.1 no (#5.1.1)"),
        ("552 no (#4.2.2)", "", "552 5.3.4 no (#4.2.2)"),
        ("451 no (#see.the.page)", "", "451 4.0.0 no (#see.the.page)"),
        ("553 see (#5.7.1) there", "", "553 5.0.0 see (#5.7.1) there"),
        ("354 go ahead", "", "354 go ahead"),
        ("334 dXNlcg==", "", "334 dXNlcg=="),
        ("214-a\r\n214 b", "", "214-2.0.0 a\r\n214 2.0.0 b"),
    ],
)
def test_where_the_code_comes_from(reply: str, status: str, expected: str) -> None:
    assert with_status(reply, status) == expected


@given(st.sampled_from("245"), st.text(max_size=30), st.sampled_from(["", "2.1.0", "4.1.1"]))
def test_the_class_is_always_the_replys(kind: str, text: str, status: str) -> None:
    found = status_of(f"{kind}50 {text}", status)
    assert found[0] == kind
    assert len(found.split(".")) == 3


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ('500 Error: command "X" not recognized', b"500 5.5.1 unimplemented (#5.5.1)\r\n"),
        ("500 Command line too long", b"500 5.5.2 line too long (#5.5.2)\r\n"),
        (
            "502 5.5.1 Too many unrecognized commands, goodbye.",
            b"502 5.5.1 unimplemented, goodbye (#5.5.1)\r\n",
        ),
    ],
)
def test_what_aiosmtpd_says_has_our_words_and_one_code(theirs: str, ours: bytes) -> None:
    assert wire(theirs, enhanced=True) == ours


async def test_a_setting_takes_the_offer_back(smtpd: Smtpd) -> None:
    await smtpd.set(enhancedstatuscodes="0")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.say(b"EHLO client.example\r\nNOOP\r\n")
        await client.reply()
        assert await client.reply() == "250 ok"


async def test_the_last_words_have_the_code_too(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO client.example")
        await smtpd.listeners["smtp"].drain(10)
        assert await client.reply() == "421 4.3.2 shutting down, try again (#4.3.2)"
