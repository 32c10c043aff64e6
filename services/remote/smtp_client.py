"""The SMTP client's protocol machine: octets in, events out; mails in, octets out. Pure.

It has no socket and no clock, and never raises for what a peer does: a peer's misbehaviour ends in
an event like everything else. The shell (connection.py) moves the octets, does the TLS handshake
when told to, and says when the connection is lost or a time limit has passed.

    banner -> ehlo -> [starttls -> handshake -> ehlo] -> idle
    idle -> [rset] -> mail -> rcpt ... -> data -> body -> final dot -> idle ... -> closed

A reply counts only for a command whose octets the shell has already taken: what a peer writes ahead
of the command it would answer ends the session. Sources: RFC 5321, 1870 (SIZE), 2920 (PIPELINING),
3207 (STARTTLS), 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8).
"""

from collections import deque
from dataclasses import dataclass

from services.remote.commands import (
    dot_stuffed,
    mail_from,
    rcpt_to,
    refused_addresses,
    with_line_ends,
)
from services.remote.events import Event, MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.replies import CLOSING, GO_ON, Reply, ReplyError, ReplyReader, judged
from tubepost.outcome import REMOTE_SAID, Deferred, Delivered, Outcome
from tubepost.record import Envelope

PIECE = 64 * 1024
"""Octets of a body handed out at once."""


_ANSWERED_421 = frozenset({Phase.BANNER, Phase.EHLO, Phase.HELO, Phase.FINAL_DOT})
"""Where 421 is an answer with a sentence of its own; elsewhere it is the end of the session."""


_ENVELOPE = frozenset({Phase.RSET, Phase.MAIL, Phase.RCPT})
"""Where 354 can only be the reply to a DATA that was sent along."""


@dataclass(frozen=True, slots=True)
class _Command:
    phase: Phase
    line: bytes = b""
    recipient: str = ""


@dataclass(slots=True)
class _Mail:
    """The mail under way. `asked`: recipients told to the peer; `waiting`: those not judged yet."""

    outcomes: dict[str, Outcome]
    asked: tuple[str, ...]
    waiting: list[str]
    body: bytes
    asks: bool = False  # it ends with RSET: only what the peer says of recipients is wanted


class SmtpClient:
    """One connection to `peer` (its address, for the texts), for mails one after another."""

    def __init__(self, peer: str, helo: str, *, starttls: bool = True) -> None:
        self._peer, self._helo, self._wants_tls = peer, helo, starttls
        self._replies = ReplyReader()
        self._plan: deque[_Command] = deque()  # not yet taken by the shell
        self._expected: deque[_Command] = deque([_Command(Phase.BANNER)])
        self._resting = Phase.IDLE  # the phase when there is nothing to send and to wait for
        self._events: list[Event] = []
        self._mail: _Mail | None = None
        self._body = memoryview(b"")
        self._clean = True  # the peer holds no half-done transaction
        self._last_words = b""
        self._answers = {
            Phase.BANNER: self._on_banner,
            Phase.EHLO: self._on_ehlo,
            Phase.HELO: self._on_helo,
            Phase.STARTTLS: self._on_starttls,
            Phase.RSET: self._on_rset,
            Phase.MAIL: self._on_mail,
            Phase.RCPT: self._on_rcpt,
            Phase.DATA: self._on_data,
            Phase.FINAL_DOT: self._on_final_dot,
        }
        self.banner: Reply | None = None
        self.extensions: dict[str, str] = {}
        self.progress = 0
        """Grows with each step, a reply or a piece of a body: when to wind the clock again."""

    @property
    def phase(self) -> Phase:
        if self._expected:
            return self._expected[0].phase
        return self._plan[0].phase if self._plan else self._resting

    # What the shell tells the machine

    def receive(self, data: bytes) -> list[Event]:
        """Octets from the peer, in pieces of any size."""
        if self.phase is not Phase.CLOSED:
            self._replies.feed(data)
            try:
                self._take_replies()
            except ReplyError as error:
                self._broken(f"the reply made no sense: {error}", "4.5.0")
        return self._take_events()

    def lost(self) -> list[Event]:
        """The connection is gone, or the time limit of the phase has passed."""
        if self.phase is not Phase.CLOSED:
            self._broken("connection died", "4.4.2")
        return self._take_events()

    def tls_started(self) -> None:
        """The handshake is done: what the peer said before it is forgotten (RFC 3207 4.2)."""
        self._wants_tls, self._resting = False, Phase.IDLE
        self.progress += 1
        self.extensions = {}
        self._plan.append(self._hello("EHLO", Phase.EHLO))

    def send_mail(self, envelope: Envelope, body: bytes) -> list[Event]:
        """Starts a mail; only in phase IDLE, after Ready.

        `body` has CRLF line ends and is not dot-stuffed. A bare CR or LF becomes CRLF (RFC 5321
        2.3.8): were it sent as it is, a lax peer could see the end of the mail in it.
        """
        if self.phase is not Phase.IDLE:
            raise RuntimeError(f"send_mail in phase {self.phase}")  # a bug of the shell
        refused = refused_addresses(envelope, body, self._peer, self.extensions)
        waiting = [r for r in dict.fromkeys(envelope.recipients) if r not in refused]
        if not waiting:
            return [MailEnd(refused)]
        body = with_line_ends(body)
        self._mail = _Mail(dict(refused), tuple(waiting), waiting, body)
        if not self._clean:
            self._plan.append(_Command(Phase.RSET, b"RSET\r\n"))
        self._plan.append(_Command(Phase.MAIL, mail_from(envelope, body, self.extensions)))
        for recipient in self._mail.asked:
            line = rcpt_to(recipient, envelope.wishes.get(recipient), self.extensions)
            self._plan.append(_Command(Phase.RCPT, line, recipient))
        self._plan.append(_Command(Phase.DATA, b"DATA\r\n"))
        self._clean = False
        self.progress += 1
        return []

    def ask(self, envelope: Envelope) -> list[Event]:
        """As `send_mail`, but with RSET where DATA would come: what the peer says of recipients."""
        events = self.send_mail(envelope, b"")
        if self._mail is not None:
            self._mail.asks = True
            self._plan[-1] = _Command(Phase.RSET, b"RSET\r\n")
        return events

    def quit(self) -> None:
        """Says QUIT; its reply is not waited for."""
        if self.phase is Phase.IDLE:
            self._close(b"QUIT\r\n")

    def data_to_send(self) -> bytes:
        """The next octets for the peer; call again until it is empty or the socket is full."""
        if self._resting is Phase.BODY:
            return self._next_piece()
        lines = [self._last_words]
        self._last_words = b""
        pipelining = "PIPELINING" in self.extensions
        while self._plan and (pipelining or not self._expected):
            command = self._plan.popleft()
            self._expected.append(command)
            lines.append(command.line)
        return b"".join(lines)

    # Replies

    def _take_replies(self) -> None:
        while self.phase is not Phase.CLOSED and (reply := self._replies.next_reply()):
            self.progress += 1
            if reply.code == CLOSING and self.phase not in _ANSWERED_421:
                self._broken("connection died", "4.4.2", reply)
            elif not self._expected or (reply.code == GO_ON and self.phase in _ENVELOPE):
                self._out_of_step(reply)
            else:
                command = self._expected.popleft()
                self._answers[command.phase](command, reply)
        our_turn = bool(self._plan) or self._resting is Phase.BODY
        if our_turn and not self._expected and self._replies.pending:
            raise ReplyError("octets came before the command they would answer")

    def _on_banner(self, _: _Command, reply: Reply) -> None:
        self.banner = reply
        if reply.code == 220:
            self._plan.append(self._hello("EHLO", Phase.EHLO))
        else:
            self._greeting_failed(reply)

    def _on_ehlo(self, _: _Command, reply: Reply) -> None:
        if reply.ok:
            self.extensions = _extensions(reply)
            self._greeted()
        elif reply.code // 100 == 5:
            self._plan.append(self._hello("HELO", Phase.HELO))
        else:
            self._greeting_failed(reply)

    def _on_helo(self, _: _Command, reply: Reply) -> None:
        if reply.ok:
            self._events.append(Ready())
        else:
            self._greeting_failed(reply)

    def _greeted(self) -> None:
        if self._wants_tls and "STARTTLS" in self.extensions:
            self._plan.append(_Command(Phase.STARTTLS, b"STARTTLS\r\n"))
        else:
            self._events.append(Ready())

    def _on_starttls(self, _: _Command, reply: Reply) -> None:
        if reply.code != 220:
            self._events.append(Ready())  # opportunistic: the mail goes in the clear
            return
        if self._replies.pending:
            raise ReplyError("plain text follows the reply to STARTTLS")
        self._resting = Phase.HANDSHAKE
        self._events.append(StartTls())

    def _on_rset(self, _: _Command, reply: Reply) -> None:
        if not reply.ok:
            self._broken("it refused RSET", "4.5.0", reply)
        elif self._under_way().asks:
            self._clean = True
            self._end_if_over()

    def _on_mail(self, _: _Command, reply: Reply) -> None:
        if not reply.ok:
            self._settle_waiting(reply, f"Connected to {self._peer} but sender was rejected")
            self._plan.clear()
        self._end_if_over()

    def _on_rcpt(self, command: _Command, reply: Reply) -> None:
        mail = self._under_way()
        if command.recipient not in mail.waiting:
            pass  # judged at MAIL
        elif not reply.ok:
            mail.waiting.remove(command.recipient)
            what = f"{self._peer} does not like recipient"
            ending = f"Giving up on {self._peer}."
            mail.outcomes[command.recipient] = judged(reply, self._peer, what, ending=ending)
        elif mail.asks:
            mail.waiting.remove(command.recipient)
            text = f"{self._peer} accepts the recipient./{REMOTE_SAID}{reply.said}"
            mail.outcomes[command.recipient] = Delivered(text=text, peer=self._peer)
        if not mail.waiting and not mail.asks:
            self._plan.clear()  # what is left is DATA, unless it is on its way already
        self._end_if_over()

    def _on_data(self, _: _Command, reply: Reply) -> None:
        if reply.code // 100 == 3:
            body = dot_stuffed(self._under_way().body) if self._under_way().waiting else b""
            self._body = memoryview(body + b".\r\n")  # nobody to send to: a lone dot, RFC 2920 3.1
            self._resting = Phase.BODY
        else:
            self._settle_waiting(reply, f"{self._peer} failed on DATA command")
            self._end_if_over()

    def _on_final_dot(self, _: _Command, reply: Reply) -> None:
        self._clean = reply.ok
        mail = self._under_way()
        if reply.ok:
            text = f"{self._peer} accepted message./{REMOTE_SAID}{reply.said}"
            reports = "DSN" in self.extensions
            done = Delivered(text=text, peer=self._peer, reports=reports)
            mail.outcomes |= dict.fromkeys(mail.waiting, done)
            mail.waiting.clear()
        else:
            self._settle_waiting(reply, f"{self._peer} failed after I sent the message")
        if reply.code == CLOSING:
            self._close()
        self._end_if_over()

    # Ends

    def _under_way(self) -> _Mail:
        if self._mail is None:
            raise RuntimeError("no mail is under way")  # a bug here, never a peer's doing
        return self._mail

    def _settle_waiting(self, reply: Reply, what: str) -> None:
        mail = self._under_way()
        mail.outcomes |= dict.fromkeys(mail.waiting, judged(reply, self._peer, what))
        mail.waiting.clear()

    def _end_if_over(self) -> None:
        if not self._plan and not self._expected:
            self._events.append(MailEnd(self._under_way().outcomes))
            self._mail = None

    def _greeting_failed(self, reply: Reply) -> None:
        what = f"Connected to {self._peer} but greeting failed"
        self._events.append(Unusable(judged(reply, self._peer, what).text, reply.said))
        self._close(b"QUIT\r\n")

    def _out_of_step(self, reply: Reply) -> None:
        """A reply too many or too few: which recipient earlier ones were about is not known."""
        if self._mail is not None:
            self._mail.waiting = list(self._mail.asked)
        self._broken("it spoke out of turn", "4.5.0", reply)

    def _broken(self, problem: str, status: str, reply: Reply | None = None) -> None:
        """The session cannot go on; recipients without an outcome are deferred."""
        mail = self._mail
        # Between the final dot and its reply the peer may have taken the mail (RFC 1047).
        doubt = "Possible duplicate! " if self.phase is Phase.FINAL_DOT else ""
        said = reply.said if reply else ""
        text = f"Connected to {self._peer} but {problem}. {doubt}(#{status})"
        text += f"/{REMOTE_SAID}{said}" if said else ""
        if mail is None:
            self._events.append(Unusable(text, said))
        else:
            why = Deferred(text=text, status=status, peer=self._peer, reply=said)
            self._events.append(MailEnd(mail.outcomes | dict.fromkeys(mail.waiting, why)))
            self._mail = None
        self._close()

    def _close(self, last_words: bytes = b"") -> None:
        self._plan.clear()
        self._expected.clear()
        self._body, self._last_words, self._resting = memoryview(b""), last_words, Phase.CLOSED

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # Octets

    def _hello(self, verb: str, phase: Phase) -> _Command:
        return _Command(phase, f"{verb} {self._helo}\r\n".encode())

    def _next_piece(self) -> bytes:
        piece, self._body = bytes(self._body[:PIECE]), self._body[PIECE:]
        self.progress += 1
        if not self._body:
            self._resting = Phase.IDLE
            self._expected.append(_Command(Phase.FINAL_DOT))
        return piece


def _extensions(reply: Reply) -> dict[str, str]:
    """Keywords and parameters of a reply to EHLO (RFC 5321 4.1.1.1)."""
    parts = (line.strip().partition(" ") for line in reply.lines[1:])
    return {keyword.upper(): parameters for keyword, _, parameters in parts}
