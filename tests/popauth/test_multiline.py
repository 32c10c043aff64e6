"""Disk to wire and back: every byte of a message arrives, whatever the blocks."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.popauth.maildrop import wire_size
from services.popauth.multiline import Multiline

PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\xe9\x00", b"\n.\n", b"\n\n"])
TEXTS = st.lists(PIECES, max_size=40).map(b"".join)


def wire(text: bytes, lines: int | None = None, block: int = 65_536) -> bytes:
    encoder = Multiline(lines)
    blocks = [text[at : at + block] for at in range(0, len(text), block)]
    return b"".join([encoder.feed(b) for b in blocks]) + encoder.finish()


def received(data: bytes) -> bytes:
    """What a client makes of it, by RFC 1939 section 3."""
    lines = data.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end + 1 :] == [b""]
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines[:end])


def crlf(text: bytes) -> bytes:
    """The message with CRLF ends, said another way than the encoder does."""
    lines = [line.removesuffix(b"\r") for line in text.split(b"\n")]
    last = text.split(b"\n")[-1]
    whole = b"".join(line + b"\r\n" for line in lines[:-1])
    return whole + (last + b"\r\n" if last else b"")


@given(TEXTS, st.integers(1, 50))
def test_client_receives_the_message(text: bytes, block: int) -> None:
    assert received(wire(text, block=block)) == crlf(text)


@given(TEXTS)
def test_size_is_what_the_client_receives(text: bytes) -> None:
    assert wire_size(io.BytesIO(text)) == len(crlf(text))


@given(st.integers(65_530, 65_540), st.sampled_from([b"\n", b"\r\n", b"\r", b"\n.\n"]))
def test_size_across_blocks(length: int, tail: bytes) -> None:
    text = b"a" * length + tail + b"b\n"
    assert wire_size(io.BytesIO(text)) == len(crlf(text))


@given(TEXTS, TEXTS, st.integers(0, 10), st.integers(1, 50))
def test_top_gives_the_header_and_some_lines(
    header: bytes, body: bytes, lines: int, block: int
) -> None:
    text = header + b"\n\n" + body
    rows = [row + b"\r\n" for row in crlf(text).split(b"\r\n")[:-1]]
    blank = rows.index(b"\r\n")
    expected = b"".join(itertools.islice(rows, blank + 1 + lines))
    assert received(wire(text, lines, block)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", b".\r\n"),
        (b"\n", b"\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\n", b"..\r\n.\r\n"),
        (b"a\n.\n.b", b"a\r\n..\r\n..b\r\n.\r\n"),
        (b"a\rb\r\r\n", b"a\rb\r\r\n.\r\n"),
    ],
)
def test_wire_form(text: bytes, expected: bytes) -> None:
    assert wire(text) == expected
    assert wire(text, block=1) == expected


def test_top_says_when_it_has_enough() -> None:
    encoder = Multiline(1)
    assert encoder.feed(b"S: x\n\none") == b"S: x\r\n\r\none"
    assert not encoder.complete
    assert encoder.feed(b"\ntwo\n") == b"\r\n"
    assert encoder.complete
