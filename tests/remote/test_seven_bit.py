"""Mails made seven bits wide: the same parts come out, and nothing else has changed."""

from email import message_from_bytes
from email.message import Message
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.remote.smtp.seven_bit import as_seven_bit

UMLAUTS = "Grüße".encode()


def lines(*parts: bytes) -> bytes:
    return b"\r\n".join((*parts, b""))


def mail(*parts: bytes) -> bytes:
    return lines(b"MIME-Version: 1.0", *parts)


TEXT = mail(
    b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit", b"", UMLAUTS
)
MIXED = mail(
    b'content-type: multipart/MIXED;\r\n\tboundary="a b"',
    b"CONTENT-transfer-encoding : 8BIT",
    b"",
    b"preamble",
    b"--a b  ",
    b"",
    b"seven bits = as they are ",
    b"--a b",
    b"Content-Type: text/html",
    b"X: y",
    b"",
    UMLAUTS + b" = ",
    b"",
    b"--a b",
    b"Content-Type: message/rfc822",
    b"",
    TEXT,
    b"--a b--",
    b"epilogue",
)


def test_a_text() -> None:
    assert as_seven_bit(TEXT) == mail(
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: quoted-printable",
        b"",
        b"Gr=C3=BC=C3=9Fe",
    )


def test_only_parts_in_need_are_touched() -> None:
    assert as_seven_bit(MIXED) == mail(
        b'content-type: multipart/MIXED;\r\n\tboundary="a b"',
        b"Content-Transfer-Encoding: 7bit",
        b"",
        b"preamble",
        b"--a b  ",
        b"",
        b"seven bits = as they are ",
        b"--a b",
        b"Content-Type: text/html",
        b"X: y",
        b"Content-Transfer-Encoding: quoted-printable",
        b"",
        b"Gr=C3=BC=C3=9Fe =3D=20",
        b"",
        b"--a b",
        b"Content-Type: message/rfc822",
        b"",
        as_seven_bit(TEXT),
        b"--a b--",
        b"epilogue",
    )


UNTOUCHED = {
    "no MIME": lines(b"Subject: x", b"", UMLAUTS),
    "no header end": mail(b"Subject: x") + UMLAUTS,
    "signed": mail(
        *(b"Content-Type: multipart/signed; boundary=x", b"", b"--x", b"", UMLAUTS, b"--x--")
    ),
    "signed within": mail(
        *(b"Content-Type: multipart/mixed; boundary=o", b"", b"--o"),
        *(b"Content-Type: multipart/signed; boundary=x", b"", b"--x", b"", UMLAUTS, b"--x--"),
        b"--o--",
    ),
    "octets in the header": mail(b"Subject: " + UMLAUTS, b"", UMLAUTS),
    "octets in a preamble": mail(
        *(b"Content-Type: multipart/mixed; boundary=x", b"", UMLAUTS, b"--x", b"", b"a", b"--x--")
    ),
    "octets in base64": mail(b"Content-Transfer-Encoding: base64", b"", UMLAUTS),
    "binary": mail(b"Content-Transfer-Encoding: binary", b"", UMLAUTS),
    "an encoded multipart": mail(
        b"Content-Type: multipart/mixed; boundary=x",
        *(b"Content-Transfer-Encoding: base64", b"", b"--x", b"", UMLAUTS, b"--x--"),
    ),
    "no last boundary": mail(
        *(b"Content-Type: multipart/mixed; boundary=x", b"", b"--x", b"", UMLAUTS)
    ),
    "no boundary": mail(b"Content-Type: multipart/mixed", b"", b"--x", b"", UMLAUTS, b"--x--"),
    "two boundaries": mail(
        *(b"Content-Type: multipart/mixed; boundary=x; boundary=y", b"", b"--x", b"", UMLAUTS),
        b"--x--",
    ),
    "an extended boundary": mail(
        *(b"Content-Type: multipart/mixed; boundary*0=x; boundary=y", b"", b"--y", b"", UMLAUTS),
        b"--y--",
    ),
    "two types": mail(b"Content-Type: text/plain", b"Content-Type: text/html", b"", UMLAUTS),
    "a broken type": mail(b"Content-Type: text", b"", UMLAUTS),
    "a line that is no field": mail(b"hello", b"", UMLAUTS),
    "an odd message type": mail(b"Content-Type: message/partial; id=1", b"", UMLAUTS),
    "seven bits": mail(b"Content-Transfer-Encoding: 8bit", b"", b"hello"),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_cannot_be_understood_goes_as_it_is(name: str) -> None:
    assert as_seven_bit(UNTOUCHED[name]) == UNTOUCHED[name]


def test_a_soft_line_break_makes_no_boundary() -> None:
    evil = b"\xff" + b"x" * 72 + b"--x" + b"y" * 80
    body = mail(b"Content-Type: multipart/mixed; boundary=x", b"", b"--x", b"", evil, b"--x--")
    assert as_seven_bit(body) == body
    assert as_seven_bit(body.replace(b"--xy", b"--zy")) != body


def test_too_deep_is_left_alone() -> None:
    body = lines(b"", UMLAUTS)
    for depth in range(40):
        name = b"b%d" % depth
        body = lines(b"Content-Type: multipart/mixed; boundary=" + name, b"", b"--" + name) + body
        body += lines(b"--" + name + b"--")
    deep = b"MIME-Version: 1.0\r\n" + body
    assert as_seven_bit(deep) == deep


def leaves(octets: bytes) -> list[Message]:
    parsed = message_from_bytes(octets, policy=SMTP)
    return [part for part in parsed.walk() if not part.is_multipart()]


WORDS = st.sampled_from(
    [
        *(b"", b" ", b"\t", b"=", b".", b"--x", b"--xy", b"--x--", b"=3D", b"x" * 75, b"From "),
        *(UMLAUTS, b"\xff", b"\x00", b"--=", b"\r\n", b"\r\n", b"a", b"-" * 74 + b"--x"),
    ]
)
CONTENT = st.lists(WORDS, max_size=12).map(b"".join)


@given(CONTENT)
def test_decoding_gives_the_same_text(content: bytes) -> None:
    body = mail(b"Content-Type: text/plain; charset=utf-8", b"", b"\xff" + content)
    seven = as_seven_bit(body)
    assert seven.isascii()
    assert max(map(len, seven.split(b"\r\n"))) <= 76
    assert [leaf.get_payload(decode=True) for leaf in leaves(seven)] == [
        b"\xff" + content + b"\r\n"
    ]


@given(st.lists(CONTENT, min_size=1, max_size=4), st.sampled_from([b"x", b"xy", b"=3D", b"-"]))
def test_decoding_gives_the_same_parts(contents: list[bytes], boundary: bytes) -> None:
    """Whatever the parts are to Python's parser, that has nothing to do with ours."""
    parts = [
        piece
        for content in contents
        for piece in (b"--" + boundary, b"Content-Type: text/plain; charset=utf-8", b"", content)
    ]
    body = mail(
        b'Content-Type: multipart/mixed; boundary="' + boundary + b'"',
        *(b"", *parts, b"--" + boundary + b"--"),
    )
    seven = as_seven_bit(body)
    assert payloads(seven) == payloads(body)


def payloads(octets: bytes) -> list[object]:
    return [leaf.get_payload(decode=True) for leaf in leaves(octets)]


@given(st.lists(st.sampled_from([*MIXED.splitlines(keepends=True), b"\r\n", b"\xff\r\n"])))
def test_no_mail_makes_it_stumble(some: list[bytes]) -> None:
    body = b"".join(some)
    seven = as_seven_bit(body)
    assert seven == body or seven.isascii()
    assert as_seven_bit(seven) == seven
