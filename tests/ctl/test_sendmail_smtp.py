"""`sendmail -bs`: where a mail ends, and that what is in it is never taken for commands."""

import io

import pytest

from ctl import sendmail_smtp
from ctl.sendmail_smtp import Dialogue

BEGIN = ("EHLO x", "MAIL FROM:<joe@o.example>", "RCPT TO:<ann@far.example>", "DATA")
SMUGGLED = (b"MAIL FROM:<boss@o.example>", b"RCPT TO:<eve@far.example>", b"DATA", b"x", b".")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, list[str]]]:
    """What was handed in, and to whom."""
    found: list[tuple[bytes, list[str]]] = []

    def submit(text: bytes, query: list[tuple[str, str]], _data: None) -> str:
        found.append((text, [value for name, value in query if name == "recipient"]))
        return "1"

    monkeypatch.setattr(sendmail_smtp, "submit", submit)
    return found


def heard(text: bytes, end: bytes) -> bytes:
    """The replies to a dialogue whose mail is `text`."""
    commands = b"".join(line.encode() + end for line in BEGIN)
    out = io.BytesIO()
    assert Dialogue(io.BytesIO(commands + text + b"QUIT" + end), out, "o.example").run() == 0
    return out.getvalue()


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_dot_ends_it_and_dots_are_taken_off(
    sent: list[tuple[bytes, list[str]]], end: bytes
) -> None:
    assert heard(b"..a" + end + b"b" + end + b"." + end, end).endswith(b"221 o.example\r\n")
    assert sent == [(b".a" + end + b"b" + end, ["ann@far.example"])]


@pytest.mark.parametrize(
    "mark", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r.\r"]
)
def test_where_lines_end_in_crlf_nothing_else_ends_a_mail(
    sent: list[tuple[bytes, list[str]]], mark: bytes
) -> None:
    smuggled = b"\r\n".join(SMUGGLED) + b"\r\n"
    assert b"502" not in heard(b"body" + mark + smuggled + b".\r\n"[:0], b"\r\n")
    assert [recipients for _, recipients in sent] == [["ann@far.example"]]
    assert b"boss@o.example" in sent[0][0]


def test_more_recipients_than_a_request_can_name_is_said_for_good() -> None:
    """As temporary trouble it would be tried again for ever."""
    lines = ["EHLO x", "MAIL FROM:<joe@o.example>"]
    lines += [f"RCPT TO:<somebody.{n}@far.example>" for n in range(3000)]
    dialogue = "\n".join([*lines, "DATA", "x", ".", "QUIT", ""]).encode()
    out = io.BytesIO()
    Dialogue(io.BytesIO(dialogue), out, "o.example").run()
    assert out.getvalue().splitlines()[-2].startswith(b"554 so many recipients are too many")
