"""The server's side of one POP3 session: bytes in, actions out (RFC 1939, 2449, 3206). Pure.

It must not read a file, a socket or a clock. The shell feeds bytes with `receive`, takes actions
with `next`, carries them out in order, and hands the answer of a request to the following `next`.
Two tables of verbs, one for each state, say everything a client can do. UPDATE is no state here:
it lasts from `Commit` to `Close`, and no command is read in between.

    AUTHORIZATION   USER PASS CAPA NOOP QUIT
    TRANSACTION     STAT LIST UIDL RETR TOP DELE RSET CAPA NOOP QUIT
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import Protocol

COMMAND_LIMIT = 255
"""Octets of a command line with its CRLF (RFC 2449 section 4)."""

WRONG_LOGINS = 3
"""That many wrong passwords end the session."""

_LINES_PER_SEND = 512
_CAPABILITIES = (
    b"TOP",
    b"UIDL",
    b"USER",
    b"RESP-CODES",
    b"AUTH-RESP-CODE",
    b"PIPELINING",
    b"IMPLEMENTATION Tubepost",
)


class Listed(Protocol):
    """A message of the maildrop: octets as sent with CRLF, and its unique id (RFC 1939 7)."""

    @property
    def size(self) -> int: ...

    @property
    def uid(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes. No answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Login:
    """Check a password. Answer: DONE, REFUSED, KeptOut or AWAY."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenDrop:
    """List the maildrop of whoever has logged in. Answer: Opened, or AWAY."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send `opening`, then message `index` (from 0) through multiline.Multiline(lines).

    `lines`: body lines wanted, None for all of them. Answer: DONE, or AWAY if nothing was sent.
    """

    index: int
    lines: int | None
    opening: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """QUIT: remove the marked messages (indexes from 0). Answer: DONE, or AWAY if some remain."""

    deleted: frozenset[int]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the session is over."""


class Result(Enum):
    """How a request ended."""

    DONE = auto()
    REFUSED = auto()
    AWAY = auto()


@dataclass(frozen=True, slots=True)
class KeptOut:
    """The password is right, and the account may not log in. `text`: why, for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The maildrop as it was at login; numbers stay fixed for the session (RFC 1939 section 8)."""

    messages: Sequence[Listed]


Action = Send | Login | OpenDrop | Fetch | Commit | Close
Answer = Result | KeptOut | Opened | None
Steps = Generator[Action, Answer, None]


class Session:
    """One client's session. `banner` is the text after `+OK` in the greeting."""

    def __init__(self, banner: str) -> None:
        self.closed = False
        self._buffer = bytearray()
        self._overlong = False
        self._steps: Steps | None = _say(_ok(banner))
        self._verbs: Verbs = _AUTHORIZATION
        self._leaving = False
        self._user = ""
        self._wrong_logins = 0
        self._messages: Sequence[Listed] = ()
        self._deleted: set[int] = set()
        self._octets = 0  # of the messages that are not marked as deleted

    def receive(self, data: bytes) -> None:
        """Bytes from the client, cut anywhere. Read more only when `next` has given None."""
        self._buffer += data

    def next(self, answer: Answer = None) -> Action | None:
        """What to do now, or None: more bytes are needed. `answer`: of the request before."""
        while not self.closed:
            if self._steps is None:
                self._steps = self._next_command()
                if self._steps is None:
                    return None
            try:
                action = self._steps.send(answer)
            except StopIteration:
                self._steps, answer = None, None
                continue
            self.closed = isinstance(action, Close)
            return action
        return None

    def shut_down(self) -> None:
        """The server stops: ends the session, without deleting, after the command in hand."""
        self._leaving = True

    def _next_command(self) -> Steps | None:
        if self._leaving:
            return _say(_err("[SYS/TEMP] shutting down"), Close())
        line = self._next_line()
        if line is None:
            return None
        if len(line) > COMMAND_LIMIT:
            return _say(_err("command line too long"))
        verb, _, argument = line.removesuffix(b"\n").removesuffix(b"\r").partition(b" ")
        handler = self._verbs.get(verb.upper())
        if handler is not None:
            return handler(self, argument)
        early = self._verbs is _AUTHORIZATION and verb.upper() in _TRANSACTION
        return _say(_err("authorization first" if early else "unimplemented"))

    def _next_line(self) -> bytes | None:
        """A line with its end; of an overlong one only that it is. A bare LF ends a line too."""
        end = self._buffer.find(b"\n") + 1
        if end == 0:
            if len(self._buffer) > COMMAND_LIMIT:  # keeps nothing of a line that never ends
                self._overlong = True
                self._buffer.clear()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        if self._overlong:
            line = line.rjust(COMMAND_LIMIT + 1)
            self._overlong = False
        return line

    def _on_user(self, argument: bytes) -> Steps:
        user = _text(argument).strip()
        if not user:
            yield _err("syntax error")
            return
        self._user = user
        yield _ok()

    def _on_pass(self, argument: bytes) -> Steps:
        """The password is the rest of the line, spaces included (RFC 1939 section 7)."""
        if not self._user:
            yield _err("USER first")
            return
        if not argument:
            yield _err("syntax error")
            return
        user, self._user = self._user, ""
        result = yield Login(user, _text(argument))
        if result is Result.DONE:
            yield from self._open()
        elif result is Result.AWAY:
            yield _err("[SYS/TEMP] unable to check that password now")
        elif isinstance(result, KeptOut):
            yield from self._refuse(result.text)
        else:
            yield from self._refuse()

    def _refuse(self, text: str = "authorization failed") -> Steps:
        self._wrong_logins += 1
        yield _err(f"[AUTH] {text}")
        if self._wrong_logins >= WRONG_LOGINS:
            yield Close()

    def _open(self) -> Steps:
        drop = yield OpenDrop()
        if not isinstance(drop, Opened):
            yield _err("[SYS/TEMP] unable to open the maildrop now")
            return
        self._messages = drop.messages
        self._octets = _total(drop.messages)
        self._verbs = _TRANSACTION
        yield _ok(self._summary())

    def _on_stat(self, _argument: bytes) -> Steps:
        yield _ok(f"{len(self._messages) - len(self._deleted)} {self._octets}")

    def _on_list(self, argument: bytes) -> Steps:
        return self._listing(argument, lambda message: str(message.size))

    def _on_uidl(self, argument: bytes) -> Steps:
        return self._listing(argument, lambda message: message.uid)

    def _listing(self, argument: bytes, shown: Callable[[Listed], str]) -> Steps:
        if argument.strip():
            index = self._index(argument)
            if isinstance(index, int):
                yield _ok(f"{index + 1} {shown(self._messages[index])}")
            else:
                yield index
            return
        kept = (
            f"{number} {shown(message)}\r\n".encode("ascii")
            for number, message in enumerate(self._messages, 1)
            if number - 1 not in self._deleted
        )
        yield _ok(self._summary())
        yield from _blocks(kept)

    def _on_retr(self, argument: bytes) -> Steps:
        index = self._index(argument)
        if isinstance(index, Send):
            yield index
            return
        opening = _ok(f"{self._messages[index].size} octets").data
        yield from _fetch(Fetch(index, None, opening))

    def _on_top(self, argument: bytes) -> Steps:
        number, _, lines = argument.strip().partition(b" ")
        index = self._index(number)
        if isinstance(index, Send):
            yield index
        elif not lines.strip().isdigit():
            yield _err("syntax error")
        else:
            yield from _fetch(Fetch(index, int(lines), _ok().data))

    def _on_dele(self, argument: bytes) -> Steps:
        index = self._index(argument)
        if isinstance(index, Send):
            yield index
            return
        self._deleted.add(index)
        self._octets -= self._messages[index].size
        yield _ok(f"message {index + 1} deleted")

    def _on_rset(self, _argument: bytes) -> Steps:
        self._deleted.clear()
        self._octets = _total(self._messages)
        yield _ok(self._summary())

    def _on_noop(self, _argument: bytes) -> Steps:
        yield _ok()

    def _on_capa(self, _argument: bytes) -> Steps:
        yield _ok("capability list follows")
        yield from _blocks(capability + b"\r\n" for capability in _CAPABILITIES)

    def _on_quit_early(self, _argument: bytes) -> Steps:
        yield _ok("bye")
        yield Close()

    def _on_quit(self, _argument: bytes) -> Steps:
        result = yield Commit(frozenset(self._deleted))
        done = result is Result.DONE
        yield _ok("bye") if done else _err("[SYS/TEMP] some deleted messages not removed")
        yield Close()

    def _summary(self) -> str:
        return f"{len(self._messages) - len(self._deleted)} messages ({self._octets} octets)"

    def _index(self, argument: bytes) -> int | Send:
        """The message a number means, or the reply that refuses it."""
        digits = argument.strip()
        if not digits.isdigit():
            return _err("syntax error")
        index = int(digits) - 1
        if index < 0:
            return _err("messages are counted from 1")
        if index >= len(self._messages):
            return _err("not that many messages")
        return _err("already deleted") if index in self._deleted else index


Verbs = Mapping[bytes, Callable[[Session, bytes], Steps]]

_AUTHORIZATION: Verbs = {
    b"USER": Session._on_user,
    b"PASS": Session._on_pass,
    b"CAPA": Session._on_capa,
    b"NOOP": Session._on_noop,
    b"QUIT": Session._on_quit_early,
}
_TRANSACTION: Verbs = {
    b"STAT": Session._on_stat,
    b"LIST": Session._on_list,
    b"UIDL": Session._on_uidl,
    b"RETR": Session._on_retr,
    b"TOP": Session._on_top,
    b"DELE": Session._on_dele,
    b"RSET": Session._on_rset,
    b"CAPA": Session._on_capa,
    b"NOOP": Session._on_noop,
    b"QUIT": Session._on_quit,
}


def _text(argument: bytes) -> str:
    """UTF-8; what is not becomes U+FFFD, so it cannot match, and nothing raises."""
    return argument.decode("utf-8", "replace")


def _total(messages: Iterable[Listed]) -> int:
    return sum(message.size for message in messages)


def _ok(text: str = "") -> Send:
    return Send(f"+OK {text}".rstrip().encode("utf-8") + b"\r\n")


def _err(text: str) -> Send:
    return Send(f"-ERR {text}\r\n".encode("ascii"))


def _say(*actions: Action) -> Steps:
    yield from actions


def _fetch(request: Fetch) -> Steps:
    result = yield request
    if result is not Result.DONE:
        yield _err("unable to open that message")


def _blocks(lines: Iterable[bytes]) -> Steps:
    """Lines in blocks of bounded size: a listing may have 100,000 of them."""
    rest = iter(lines)
    while block := b"".join(islice(rest, _LINES_PER_SEND)):
        yield Send(block)
    yield Send(b".\r\n")
