"""Octets come out as they went in: 8-bit, dots, long lines, a missing last line end."""

import poplib
import re
from collections.abc import Iterator

import pytest

from tests.e2e.platform import PASSWORD, Platform, until
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ANN, FAR = "ann@example.org", "eve@far.example"
OCTETS = bytes(n for n in range(256) if n not in b"\r\n\0")
HEAD = b"Subject: \xe9\xff\r\n\r\n"
BODIES = {
    "every octet": HEAD + OCTETS + b"\r\n",
    "dots": HEAD + b".\r\n..\r\n.a\r\n...\r\na.\r\n\r\n.\r\n",
    "dot at the end": HEAD + b"x\r\n.\r\n",
    "a long line": HEAD + b"y" * 8000 + b"\r\nz\r\n",
    "empty lines": HEAD + b"\r\n\r\n\r\n",
    "header only": b"Subject: x\r\n",
    "no header": b"\r\nx\r\n",
}
EACH = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)


@pytest.fixture
def platform(shared: Platform, sink: Sink) -> Iterator[Platform]:
    shared.ok("control", "set", "rcpthosts", "far.example")
    shared.ok("control", "set", "smtproutes", sink.route("far.example"))
    yield shared
    for name in ("rcpthosts", "smtproutes"):
        shared.ok("control", "unset", name)


def by_pop3(platform: Platform) -> bytes:
    """Ann's one mail, as RETR sends it, without its dots; it is deleted."""
    until(lambda: len(platform.maildir(ANN)) == 1, 30, "the delivery")
    pop = LongLines(*platform.addresses["pop3"], timeout=20)
    pop.user(ANN)
    pop.pass_(PASSWORD)
    assert pop.stat()[0] == 1
    lines = pop.retr(1)[1]
    pop.dele(1)
    pop.quit()
    return b"".join(line + b"\r\n" for line in lines)


class LongLines(poplib.POP3):
    """poplib gives up at lines of 2048 octets."""

    def _getline(self) -> tuple[bytes, int]:
        line = self.file.readline()
        assert line.endswith(b"\r\n"), line
        return line[:-2], len(line)


def without_trace(content: bytes) -> bytes:
    """Without the fields that were added on the way."""
    added = rb"(Return-Path: .*\r\n|Delivered-To: .*\r\n)*Received: .*\r\n  by .*\r\n"
    found = re.match(added, content)
    assert found, content[:300]
    return content[found.end() :]


@EACH
def test_from_data_to_retr_and_to_another_host(platform: Platform, sink: Sink, body: bytes) -> None:
    with platform.smtp() as client:
        client.sendmail("joe@client.example", [ANN, FAR], body)
    assert without_trace(by_pop3(platform)) == body
    assert without_trace(sink.wait_for(1, 30)[0].body) == body


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no line end", "line end"])
def test_from_a_file_with_unix_line_ends(platform: Platform, sink: Sink, end: bytes) -> None:
    text = b"Subject: x\n\n.\nlast line \xff" + end
    recipients = [word for address in (ANN, FAR) for word in ("--to", address)]
    platform.ok("send", "-", "--from", "joe@example.org", *recipients, stdin=text)
    wanted = b"Subject: x\r\n\r\n.\r\nlast line \xff\r\n"
    assert without_trace(by_pop3(platform)) == wanted
    assert without_trace(sink.wait_for(1, 30)[0].body) == wanted
