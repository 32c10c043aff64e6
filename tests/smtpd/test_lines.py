"""What a command line must be, before it is read as a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.lines import BARE_LF, NO_COMMAND, checked


@pytest.mark.parametrize(
    "line", [b"\r\n", b"\0\r\n", b"NOOP\r\n", b"MAIL FROM:<\xe9@x>\r\n", b" \t\x7f\r\n"]
)
def test_a_line_is_left_alone(line: bytes) -> None:
    assert checked(line) is line


@pytest.mark.parametrize("line", [b"\n", b"NOOP\n", b"NO\rOP\n", b"NO\0OP\n"])
def test_a_bare_lf_is_told_by_its_verb(line: bytes) -> None:
    assert checked(line).decode() == BARE_LF + "\r\n"


@pytest.mark.parametrize(
    "line", [b"\0\0\r\n", b"NO\0OP\r\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"\r\r\n"]
)
def test_nul_and_bare_cr_are_no_command(line: bytes) -> None:
    assert checked(line).decode() == NO_COMMAND + "\r\n"


@given(st.binary().map(lambda octets: octets.replace(b"\n", b"") + b"\n"))
def test_what_comes_through_is_a_line_and_no_verb_of_ours(line: bytes) -> None:
    found = checked(line)
    if found == line:
        assert line.endswith(b"\r\n")
        assert line == b"\0\r\n" or not {0, 13} & set(line[:-2])
    else:
        assert found[:1] == b"\0"
