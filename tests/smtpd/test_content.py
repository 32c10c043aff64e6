"""What is looked for in a mail, against plain and slow ways to find it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.content import has_big_header, has_long_line, has_nul

PIECES = st.lists(st.sampled_from([b"\r\n", b"a", b"ab\r\n", b"\r\n\r\n", b"\0"]), max_size=30)


def slow_longest(body: bytes) -> int:
    return max((len(line) for line in body.splitlines(keepends=True)), default=0)


@given(PIECES, st.integers(1, 12))
def test_long_lines_against_the_reference(pieces: list[bytes], limit: int) -> None:
    body = b"".join(pieces) + b"\r\n"
    assert has_long_line(body, limit) == (slow_longest(body) > limit)


@pytest.mark.parametrize(("octets", "found"), [(9, False), (10, False), (11, True), (30, True)])
def test_the_limit_has_crlf_in_it(octets: int, found: bool) -> None:
    line = b"x" * (octets - 2) + b"\r\n"
    for body in (line, b"a\r\n" + line, line + b"b\r\n", b"a\r\n" * 9 + line + b"b\r\n" * 9):
        assert has_long_line(body, 10) == found


def test_no_limit_finds_no_long_line() -> None:
    assert not has_long_line(b"x" * 100_000, 0)


@given(PIECES, st.integers(1, 40))
def test_big_headers_against_the_reference(pieces: list[bytes], limit: int) -> None:
    body = b"".join(pieces) + b"\r\n"
    head, empty, _ = (b"\r\n" + body).partition(b"\r\n\r\n")
    size = len(head) if empty else len(body)
    header = 0 if body.startswith(b"\r\n") else size
    assert has_big_header(body, limit) == (header > limit)


@given(PIECES)
def test_nul_is_found(pieces: list[bytes]) -> None:
    assert has_nul(b"".join(pieces)) == (b"\0" in pieces)
