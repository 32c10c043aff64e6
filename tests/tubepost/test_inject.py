"""What qmail-inject does to a header: nothing that is there changes, nothing secret leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost.address import Address
from tubepost.errors import BadInput
from tubepost.inject import Author, Injected, injected
from tubepost.mail_header import parts

ME = Author(Address("me", "h.example"), "", "h.example")
NOW = 1_700_000_000.0
DATE = b"Date: 14 Nov 2023 22:13:20 -0000\n"
ID = b"Message-ID: <m1@h.example>\n"


def inject(raw: bytes, author: Author = ME) -> Injected:
    return injected(raw, author, now=NOW, mark="m1")


def test_what_is_missing_is_put_in_front() -> None:
    mail = inject(b"To: ann\nSubject: h\xe9\n\nbody\n.\n")
    front = DATE + ID + b"From: me@h.example\n"
    assert mail == Injected(front + b"To: ann\nSubject: h\xe9\n\nbody\n.\n", ("ann@h.example",))


def test_what_is_there_stays_as_it_was_written() -> None:
    whole = b"DATE : yesterday\nmessage-id:x\nFrom:\n  Joe\n\t<joe@x.y>\nTO: a@b.c\nX:  y \n\nhi\n"
    assert inject(whole).text == whole


@pytest.mark.parametrize(
    "field",
    [b"Bcc: x@y.z\n", b"BCC :\n x@y.z\n", b"Return-Path: <a@b.c>\n", b"Content-Length: 3\n"],
)
def test_what_must_not_leave_is_taken_out(field: bytes) -> None:
    mail = inject(b"To: a@b.c\n" + field + b"Subject: s\n\nhi\n")
    assert mail.text.endswith(b"From: me@h.example\nTo: a@b.c\nSubject: s\n\nhi\n")


def test_who_is_hidden_still_gets_it() -> None:
    mail = inject(b"Bcc: x@y.z, a@b.c\nBcc: q@r.s\n\nhi\n")
    assert mail.recipients == ("x@y.z", "a@b.c", "q@r.s")
    assert mail.text.endswith(b"Cc: recipient list not shown: ;\n\nhi\n")


def test_a_mail_out_of_a_mailbox_file_hides_the_same_people() -> None:
    lines = b"From joe Thu Nov 23 19:00:00 2026\n>From ann Thu Nov 23 19:00:00 2026\n"
    raw = b"To: a@b.c\nBcc: x@y.z\n\nFrom here on it is body\n"
    assert inject(lines + raw) == inject(raw)
    assert inject(raw).text.endswith(b"\n\nFrom here on it is body\n")


def test_a_field_of_a_million_lines_costs_no_more_than_it_is_long() -> None:
    """Put together line by line it took hours."""
    field = b"Subject: s\n" + b" y\n" * 1_000_000
    assert inject(b"To: a@b.c\n" + field + b"\nhi\n").text.endswith(field + b"\nhi\n")


def test_a_mail_sent_on_is_judged_by_its_resent_fields() -> None:
    raw = b"Resent-To: new@x.y\nResent-Bcc: hid@x.y\nTo: old@x.y\nBcc: o@x.y\nDate: d\n\nhi\n"
    mail = inject(raw)
    assert mail.recipients == ("new@x.y", "hid@x.y")
    assert mail.text == (
        b"Resent-" + DATE + b"Resent-" + ID + b"Resent-From: me@h.example\n"
        b"Resent-To: new@x.y\nTo: old@x.y\nDate: d\n\nhi\n"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Joe Lee", b'"Joe Lee" <me@h.example>'),
        ('a "b" \\', b'"a \\"b\\" \\\\" <me@h.example>'),
        ("J\u00f6rg", b"=?utf-8?b?SsO2cmc=?= <me@h.example>"),
    ],
)
def test_a_full_name(name: str, value: bytes) -> None:
    mail = inject(b"To: a@b.c\n\nhi\n", Author(ME.address, name, ME.host))
    assert b"\nFrom: " + value + b"\nTo:" in mail.text


def test_a_full_name_makes_no_field() -> None:
    with pytest.raises(BadInput, match="one line"):
        inject(b"To: a@b.c\n\nhi\n", Author(ME.address, "x\nBcc: eve@x.y", ME.host))


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"no field\nTo: a@b.c\n", b"no field\nTo: a@b.c\n"),
        (b" x: y\n", b" x: y\n"),
        (b"\nTo: a@b.c\n", b"To: a@b.c\n"),
        (b"Subject: s\n \t\nTo: a@b.c\n", b"To: a@b.c\n"),
        (b"Subject: s\nFrom joe\n\nhi\n", b"From joe\n\nhi\n"),
        (b"Subject: s", b""),
        (b"Subject: s\n\nno end", b"no end\n"),
    ],
)
def test_where_the_body_begins(raw: bytes, body: bytes) -> None:
    mail = inject(raw)
    assert mail.recipients == ()
    assert parts(mail.text).body == body


@pytest.mark.parametrize(
    "raw", [b"", b"To: a\rb@c.d\n\n", b"To: a@b.c d@e.f\n\n", b"To: \xff@b.c\n\n"]
)
def test_what_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(BadInput):
        inject(raw)


NAMES = st.sampled_from([b"Subject", b"X-A", b"From", b"bcc", b"Received", b"Return-Path"])
VALUES = st.sampled_from([b" a@b.c", b"", b"\n folded@x.y", b" q@r.s,\n\tt@u.v"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.binary(max_size=60))
def test_a_body_is_never_touched_and_no_field_is_lost(
    fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    body = body.replace(b"\r", b"")
    raw = b"".join(n + b":" + v + b"\n" for n, v in fields) + b"\n" + body
    found = parts(inject(raw).text)
    assert found.body == body + (b"" if (raw.endswith(b"\n")) else b"\n")
    gone = {b"bcc", b"return-path"}
    kept = [n.lower() for n, _ in fields if n.lower() not in gone]
    assert [f.name for f in found.fields if f.name in {n.lower() for n, _ in fields}][
        -len(kept) or None :
    ] == kept
    assert not found.has(b"bcc", b"return-path")
