"""SMTP replies: reading them from octets, and what they mean for a recipient. Pure; no I/O.

Nothing here knows which command a reply answers: that is client's.
"""

import re
from typing import NamedTuple

from services.remote.smtp.events import Phase
from tubepost.outcome import MAX_TEXT, REMOTE_SAID, Deferred, Failed, one_line, status_of

MAX_LINE = 4096
"""Octets of one reply line. RFC 5321 4.5.3.1.5 allows 512; peers that write more are read too."""

MAX_LINES = 200
"""Lines of one reply."""

_LINE = re.compile(rb"([1-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)

_CODES = re.compile(rb"[1-5][0-9][0-9][ -](?:[245]\.[0-9]{1,3}\.[0-9]{1,3} )?")

HIDDEN = b"[words that quote our login]"

CLOSING = 421
"""RFC 5321 3.8: the peer is about to close, whatever it was asked."""

GO_ON = 354
"""RFC 5321 4.2.2: the reply to DATA and to nothing else."""


class ReplyError(Exception):
    """What the peer wrote is not a reply. The text says why. Stays inside the SMTP machine."""


class Reply(NamedTuple):
    """`lines`: the text of each line, without the code and the line end."""

    code: int
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.code // 100 == 2

    @property
    def said(self) -> str:
        """The reply as the log shows it: its lines with their codes, `/` between them."""
        if len(self.lines) == 1:
            line = f"{self.code} {self.lines[0].rstrip()}"
            return line[:MAX_TEXT] if line.isascii() and line.isprintable() else one_line(line)
        last = len(self.lines) - 1
        marked = (
            f"{self.code}{'-' if n < last else ' '}{line}" for n, line in enumerate(self.lines)
        )
        return one_line("\n".join(line.rstrip() for line in marked))


class ReplyReader:
    """Octets in, replies out. Holds at most one reply's worth of what has not been read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code = 0
        self._lines: list[str] = []
        self._secrets: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether octets are here that belong to no complete reply."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def hide(self, secrets: tuple[bytes, ...]) -> None:
        """From now on the words of a line that quotes one of these are not passed on."""
        self._secrets = tuple(secret.decode().casefold() for secret in secrets)

    def next_reply(self) -> Reply | None:
        """The next complete reply, None when more octets are needed. Raises ReplyError."""
        while (end := self._buffer.find(b"\n", 0, MAX_LINE)) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            if self._take_line(line):
                reply = Reply(self._code, tuple(self._lines))
                self._lines = []
                return reply
        if len(self._buffer) >= MAX_LINE:
            raise ReplyError(f"a line has more than {MAX_LINE} octets")
        return None

    def _take_line(self, line: bytes) -> bool:
        """Adds a line to the reply; whether it is the last one (RFC 5321 4.2.1)."""
        if self._secrets:
            line = self._without_secrets(line)
        found = _LINE.fullmatch(line)
        if found is None:
            raise ReplyError(f"it wrote {one_line(line.decode('latin-1'), 60)!r}")
        code = int(found[1])
        if self._lines and code != self._code:
            raise ReplyError(f"one reply has the codes {self._code} and {code}")
        if len(self._lines) == MAX_LINES:
            raise ReplyError(f"a reply has more than {MAX_LINES} lines")
        self._code = code
        self._lines.append((found[3] or b"").decode("latin-1"))
        return found[2] != b"-"

    def _without_secrets(self, line: bytes) -> bytes:
        folded = line.decode("utf-8", "replace").casefold()
        if not any(secret in folded for secret in self._secrets):
            return line
        codes = _CODES.match(line)
        return (codes[0] if codes else b"") + HIDDEN


def judged(
    reply: Reply, peer: str, what: str, phase: Phase, *, ending: str = ""
) -> Deferred | Failed:
    """The outcome of a reply that is not the wished-for one: 5xx is Failed, all else Deferred.

    `what`: a sentence without its full stop; `ending`: one to stand after the peer's words.
    """
    said = reply.said
    text = told(what, peer, said) + (f"/{ending.format(peer=peer)}" if ending else "")
    if reply.code // 100 == 5:
        status = status_of(said, reply.code)
        return Failed(text=text, status=status, peer=peer, reply=said, phase=phase)
    status = status_of(said, reply.code) if reply.code // 100 == 4 else "4.5.0"
    return Deferred(text=text, status=status, peer=peer, reply=said, phase=phase)


def told(what: str, peer: str, said: str) -> str:
    """A sentence of `sentences` without its full stop, and the peer's words behind it."""
    return f"{what.format(peer=peer)}./{REMOTE_SAID}{said}"
