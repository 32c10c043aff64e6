"""Whose turn it is: commands go out, replies come in, and each reply belongs to one command. Pure.

It knows no mail and judges nothing: what a reply means is client's.
"""

from collections import deque
from collections.abc import Iterable

from services.remote.smtp.commands import Command
from services.remote.smtp.events import Phase
from services.remote.smtp.replies import GO_ON, Reply, ReplyError, ReplyReader

PIECE = 64 * 1024
"""Octets of a body handed out at once."""

_ENVELOPE = frozenset({Phase.RSET, Phase.MAIL, Phase.RCPT})
"""Where 354 can only be the reply to a DATA that was sent along."""


class Dialogue:
    """Begins with the peer's banner. A reply counts only for a command that has left."""

    def __init__(self) -> None:
        self.replies = ReplyReader()
        self._plan: deque[Command] = deque()  # not yet taken by the shell
        self._expected: deque[Command] = deque([Command(Phase.BANNER)])
        self._resting = Phase.IDLE  # the phase when there is nothing to send and to wait for
        self._body = memoryview(b"")
        self._after_body: list[Command] = []
        self._last_words = b""
        self.progress = 0
        """Grows with each step, a reply or a piece of a body."""

    @property
    def phase(self) -> Phase:
        if self._expected:
            return self._expected[0].phase
        return self._plan[0].phase if self._plan else self._resting

    @property
    def is_over(self) -> bool:
        """Nothing is planned and no reply is due."""
        return not self._plan and not self._expected

    @property
    def is_owed_replies(self) -> bool:
        return bool(self._expected)

    # Out

    def say(self, *commands: Command) -> None:
        self._plan.extend(commands)

    def say_instead(self, command: Command) -> None:
        """Of the last one that is planned."""
        self._plan[-1] = command

    def say_nothing_more(self) -> None:
        """Of what is planned; what has left is answered all the same."""
        self._plan.clear()

    def send_body(self, octets: bytes, replies: Iterable[Command]) -> None:
        """`replies`: those due after the last octet."""
        self._body, self._after_body = memoryview(octets), list(replies)
        self._resting = Phase.BODY

    def rest(self, phase: Phase) -> None:
        self._resting = phase

    def close(self, last_words: bytes = b"") -> None:
        self._plan.clear()
        self._expected.clear()
        self._body, self._last_words, self._resting = memoryview(b""), last_words, Phase.CLOSED

    def next_octets(self, *, pipelining: bool) -> bytes:
        """Empty when it is the peer's turn."""
        if self._resting is Phase.BODY:
            return self._next_piece()
        lines = [self._last_words]
        self._last_words = b""
        while self._plan and (pipelining or not self._expected):
            command = self._plan.popleft()
            self._expected.append(command)
            lines.append(command.line)
        return b"".join(lines)

    def _next_piece(self) -> bytes:
        piece, self._body = bytes(self._body[:PIECE]), self._body[PIECE:]
        self.progress += 1
        if not self._body:
            self._resting = Phase.IDLE
            self._expected.extend(self._after_body)
        return piece

    # In

    def next_reply(self) -> Reply | None:
        """Raises ReplyError. `answered` says what it is the reply to."""
        reply = self.replies.next_reply() if self._resting is not Phase.CLOSED else None
        if reply is not None:
            self.progress += 1
        elif not self._expected and self.replies.pending and self._is_our_turn():
            raise ReplyError("octets came before the command they would answer")
        return reply

    def _is_our_turn(self) -> bool:
        return bool(self._plan) or self._resting is Phase.BODY

    def answered(self, reply: Reply) -> Command | None:
        """What this is the reply to; None where it is out of turn.

        So it is where it has the code of another command: then replies and commands do not pair.
        """
        if not self._expected:
            return None
        phase = self._expected[0].phase
        if reply.code == GO_ON:
            astray = phase in _ENVELOPE
        else:
            astray = phase is Phase.DATA and reply.code < 300
        return None if astray else self._expected.popleft()
