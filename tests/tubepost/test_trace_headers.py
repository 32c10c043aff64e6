"""The fields a mail collects on its way, and that no client can forge one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.trace_headers import (
    delivered_to,
    delivered_to_in,
    header_of,
    hops,
    received,
    return_path,
    rfc5322_date,
)

NOW = 1_795_403_670.0


def field(helo: str = "client.example", user: str = "", now: float = NOW) -> bytes:
    return received(
        client="192.0.2.7",
        helo=helo,
        user=user,
        by="mx.example.org",
        protocol="ESMTP",
        mail_id="018b",
        now=now,
    )


def test_received_with_the_clients_name_and_a_helo_only_where_it_is_another() -> None:
    parts: dict[str, Any] = {"user": "", "by": "mx", "protocol": "SMTP", "mail_id": "1", "now": NOW}
    for helo, shown in (("x.example", b" (HELO x.example)"), ("Mail.Example", b"")):
        found = received(client="192.0.2.7", helo=helo, host="mail.example", **parts)
        assert found.startswith(b"Received: from mail.example" + shown + b" (192.0.2.7)\r\n")


@pytest.mark.parametrize(
    ("now", "date"),
    [
        (0, "1 Jan 1970 00:00:00 -0000"),
        (NOW, "23 Nov 2026 03:14:30 -0000"),
        (1_709_210_096.9, "29 Feb 2024 12:34:56 -0000"),
        (4_102_444_799, "31 Dec 2099 23:59:59 -0000"),
    ],
)
def test_dates(now: float, date: str) -> None:
    assert rfc5322_date(now) == date


def test_received_without_a_login() -> None:
    assert field() == (
        b"Received: from unknown (HELO client.example) (192.0.2.7)\r\n"
        b"  by mx.example.org with ESMTP id 018b; 23 Nov 2026 03:14:30 -0000\r\n"
    )


def test_received_over_tls() -> None:
    tls = "version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 bits=256"
    found = received(
        client="192.0.2.7",
        helo="",
        user="",
        by="mx",
        protocol="ESMTPS",
        mail_id="1",
        now=0,
        tls=tls,
    )
    assert found.endswith(f"with ESMTPS id 1 ({tls}); 1 Jan 1970 00:00:00 -0000\r\n".encode())


def test_received_of_somebody_who_logged_in() -> None:
    assert b" (joe@x.y@192.0.2.7)\r\n" in field(user="joe@x.y")


def test_received_without_helo() -> None:
    assert field(helo="").startswith(b"Received: from unknown (192.0.2.7)\r\n")


@pytest.mark.parametrize(
    "helo", ["a\r\nX-Forged: 1", "a\nb", "a\rb", "a) (evil", "a b", 'a"b', "a\x00b", "a;b", "ä<b>"]
)
def test_what_is_not_plain_becomes_a_question_mark(helo: str) -> None:
    for text in (field(helo=helo), field(user=helo)):
        assert text.count(b"\r\n") == 2
        assert b"?" in text
        assert helo.encode() not in text


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_client_cannot_add_a_line(helo: str, user: str) -> None:
    lines = field(helo=helo, user=user).split(b"\r\n")
    assert len(lines) == 3
    assert lines[1].startswith(b"  by ")
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert b"".join(lines).isascii()


def test_return_path_and_delivered_to() -> None:
    assert return_path("joe@x.y") == b"Return-Path: <joe@x.y>\r\n"
    assert return_path("") == b"Return-Path: <>\r\n"
    assert delivered_to("joe@x.y") == b"Delivered-To: joe@x.y\r\n"


BODY = (
    b"Received: from a\r\n  by b\r\nRECEIVED: from c\r\nDelivered-To: joe@x.y\r\n"
    b"Received-SPF: pass\r\nSubject: Received: by me\r\n\r\nReceived: in the text\r\n"
    b"Delivered-To: ann@x.y\r\n\r\nmore"
)


def test_the_header_ends_at_the_first_empty_line() -> None:
    assert header_of(BODY).endswith(b"Subject: Received: by me\r\n")
    assert header_of(b"A: b\r\n") == b"A: b\r\n"
    assert header_of(b"") == b""


def test_hops_counts_fields_that_begin_with_the_two_words() -> None:
    """Received-SPF counts, too: qmail-smtpd looks at the first letters only."""
    assert hops(BODY) == 4
    assert hops(b"Subject: x\r\n\r\nReceived: y\r\n") == 0
    assert hops(field() * 30 + BODY) == 34


@pytest.mark.parametrize(
    ("recipient", "found"),
    [("joe@x.y", True), ("JOE@X.Y", True), ("oe@x.y", False), ("joe@x.yz", False),
     ("ann@x.y", False)],
)  # fmt: skip
def test_a_loop_is_our_own_delivered_to_in_the_header(recipient: str, found: bool) -> None:
    assert (recipient.lower() in delivered_to_in(BODY)) is found


def test_a_delivered_to_on_the_first_line_counts() -> None:
    assert delivered_to_in(delivered_to("Joe@x.y") + b"A: b\r\n\r\n") == {"joe@x.y"}


def test_a_mail_without_a_header_has_none() -> None:
    body = b"\r\nDelivered-To: joe@x.y\r\n\r\nmore\r\n"
    assert header_of(body) in (b"", b"\r\n")
    assert delivered_to_in(body) == frozenset()
