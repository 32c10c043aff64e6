"""The SMTP client's protocol machine: octets in, events out; mails in, octets out. Pure.

It has no socket and no clock, and never raises for what a peer does: a peer's misbehaviour ends in
an event like everything else. The shell (connection.py) moves the octets, does the TLS handshake
when told to, and says when the connection is lost or a time limit has passed.

    greeting -> idle -> [rset] -> mail -> rcpt ... -> data -> body -> final dot -> idle ...

A reply counts only for a command whose octets the shell has already taken: what a peer writes ahead
of the command it would answer ends the session. Sources: RFC 5321, 1870 (SIZE), 2920 (PIPELINING),
2033 (LMTP), 3207 (STARTTLS), 3461 (DSN), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8).
"""

from collections.abc import Callable, Mapping

from services.remote.smtp import sentences
from services.remote.smtp.commands import (
    Command,
    dot_stuffed,
    elsewhere,
    mail_commands,
    refused_addresses,
    with_line_ends,
)
from services.remote.smtp.dialogue import Dialogue
from services.remote.smtp.events import Event, MailEnd, Phase, StartTls, Unusable
from services.remote.smtp.greeting import Greeting
from services.remote.smtp.login import secrets
from services.remote.smtp.replies import CLOSING, Reply, ReplyError
from services.remote.smtp.seven_bit import as_seven_bit
from services.remote.smtp.transaction import Transaction
from services.remote.terms import Dialect
from tubepost import reply_kinds
from tubepost.outcome import REMOTE_SAID, Deferred
from tubepost.record import Envelope

_ANSWERED_421 = frozenset({Phase.BANNER, Phase.EHLO, Phase.HELO, Phase.FINAL_DOT})
"""Where 421 is an answer with a sentence of its own; elsewhere it is the end of the session."""

_RSET = Command(Phase.RSET, b"RSET\r\n")
_DOT = Command(Phase.FINAL_DOT)
_PLAIN = Dialect()


class SmtpClient:
    """One connection to `peer` (its address, for the texts), for mails one after another.

    `secure`: the shell has done TLS before the first octet (RFC 8314), STARTTLS is not said.
    """

    def __init__(
        self,
        peer: str,
        helo: str,
        *,
        starttls: bool = True,
        secure: bool = False,
        dialect: Dialect = _PLAIN,
    ) -> None:
        self._peer, self._dialect = peer, dialect
        self._greeting = Greeting(peer, helo, starttls=starttls, secure=secure, dialect=dialect)
        self._dialogue = Dialogue()
        self._events: list[Event] = []
        self._mail: Transaction | None = None
        self._clean = True  # the peer holds no half-done transaction
        self._closing = False  # the peer has said so, but owes replies
        self.extensions = self._greeting.extensions
        self.banner: Reply | None = None
        self.tls = ""
        """Version and cipher, once the shell has told: for the outcomes."""
        self.begun = True
        """Whether the peer said yes to the MAIL of the last mail, or was not asked."""

    @property
    def phase(self) -> Phase:
        return self._dialogue.phase

    @property
    def progress(self) -> int:
        """Grows with each step: when to wind the clock again."""
        return self._dialogue.progress

    # What the shell tells the machine

    def receive(self, data: bytes) -> list[Event]:
        """Octets from the peer, in pieces of any size."""
        if self._dialogue.phase is not Phase.CLOSED:
            self._dialogue.replies.feed(data)
            try:
                self._take_replies()
            except ReplyError as error:
                self._broken(sentences.NO_SENSE.format(error=error), "4.5.0")
        return self._take_events()

    def lost(self) -> list[Event]:
        """The connection is gone, or the time limit of the phase has passed."""
        if self._dialogue.phase is not Phase.CLOSED:
            self._broken(sentences.DIED, "4.4.2")
        return self._take_events()

    def tls_started(self) -> None:
        """The handshake is done."""
        self._dialogue.rest(Phase.IDLE)
        self._dialogue.progress += 1
        self._dialogue.say(self._greeting.after_tls())

    def send_mail(self, envelope: Envelope, body: bytes, *, prepared: bool = False) -> list[Event]:
        """Starts a mail; only in phase IDLE, after Ready.

        `body` has CRLF line ends and is not dot-stuffed. `prepared`: it comes from that method.
        """
        if self._dialogue.phase is not Phase.IDLE:
            raise RuntimeError(f"send_mail in phase {self.phase}")  # a bug of the shell
        body = body if prepared else self.prepared(body)
        refused = refused_addresses(envelope, body, self._peer, self.extensions)
        asked = tuple(dict.fromkeys(r for r in envelope.recipients if r not in refused))
        self.begun = not asked
        if not asked:
            return [MailEnd(refused, elsewhere(refused))]
        self._mail = Transaction(self._peer, refused, asked, body)
        if not self._clean:
            self._dialogue.say(_RSET)
        self._clean = False
        self._dialogue.say(*mail_commands(envelope, body, asked, self.extensions))
        self._dialogue.progress += 1
        return []

    def prepared(self, body: bytes) -> bytes:
        """The body as this peer takes it. Changes nothing here; of a long one it takes its time.

        A bare CR or LF becomes CRLF (RFC 5321 2.3.8): were it sent as it is, a lax peer could see
        the end of the mail in it.
        """
        body = with_line_ends(body)
        if "8BITMIME" in self.extensions or not self._dialect.convert or body.isascii():
            return body
        return as_seven_bit(body)

    def ask(self, envelope: Envelope) -> list[Event]:
        """As `send_mail`, but with RSET where DATA would come: what the peer says of recipients."""
        events = self.send_mail(envelope, b"")
        if self._mail is not None:
            self._mail.asks = True
            self._dialogue.say_instead(_RSET)
        return events

    def quit(self) -> None:
        """Says QUIT; its reply is not waited for."""
        if self.phase is Phase.IDLE:
            self._dialogue.close(b"QUIT\r\n")

    def data_to_send(self) -> bytes:
        """The next octets for the peer; call again until it is empty or the socket is full."""
        return self._dialogue.next_octets(pipelining="PIPELINING" in self.extensions)

    # Replies

    def _take_replies(self) -> None:
        dialogue = self._dialogue
        while reply := dialogue.next_reply():
            if reply.code == CLOSING and dialogue.phase not in _ANSWERED_421:
                self._broken(sentences.DIED, "4.4.2", reply)
            elif command := dialogue.answered(reply):
                _ANSWERS.get(command.phase, SmtpClient._on_greeting)(self, command, reply)
            else:
                self._out_of_turn(reply)

    def _on_greeting(self, command: Command, reply: Reply) -> None:
        if command.phase is Phase.BANNER:
            self.banner = reply
        step = self._greeting.answer(command.phase, reply)
        if isinstance(step, Command):
            self._dialogue.say(step)
            if step.phase is Phase.AUTH and self._dialect.login:
                self._dialogue.replies.hide(secrets(self._dialect.login))
            return
        if isinstance(step, StartTls):
            if self._dialogue.replies.pending:
                raise ReplyError("plain text follows the reply to STARTTLS")
            self._dialogue.rest(Phase.HANDSHAKE)
        self._events.append(step)
        if isinstance(step, Unusable):
            self._dialogue.close(b"QUIT\r\n")

    def _on_rset(self, _: Command, reply: Reply) -> None:
        if not reply.ok:
            self._broken(sentences.RSET_REFUSED, "4.5.0", reply, phase=Phase.RSET)
        elif self._under_way().asks:
            self._clean = True
            self._end_if_over()

    def _on_mail(self, _: Command, reply: Reply) -> None:
        self.begun = reply.ok
        if not reply.ok:
            self._under_way().refuse_all(Phase.MAIL, reply)
            self._dialogue.say_nothing_more()
        self._end_if_over()

    def _on_rcpt(self, command: Command, reply: Reply) -> None:
        mail = self._under_way()
        if not reply.ok:
            mail.refuse(command.recipient, reply)
        elif mail.asks:
            mail.accept(command.recipient, reply)
        if not mail.waiting and not mail.asks:
            self._dialogue.say_nothing_more()  # that is DATA, unless it has left already
        self._end_if_over()

    def _on_data(self, _: Command, reply: Reply) -> None:
        mail = self._under_way()
        if reply.code // 100 != 3:
            mail.refuse_all(Phase.DATA, reply)
            self._end_if_over()
        elif mail.waiting or not self._dialect.lmtp:
            # Nobody to send to: a lone dot, RFC 2920 3.1.
            body = dot_stuffed(mail.body) if mail.waiting else b""
            self._dialogue.send_body(body + b".\r\n", self._final_replies(mail))
        else:
            self._dialogue.close()  # RFC 2033 4.2 has no reply for that: no way on
            self._end_if_over()

    def _final_replies(self, mail: Transaction) -> list[Command]:
        """SMTP has one for the mail, LMTP one for each accepted recipient (RFC 2033 4.2)."""
        if not self._dialect.lmtp:
            return [_DOT]
        return [Command(Phase.FINAL_DOT, b"", recipient) for recipient in mail.waiting]

    def _on_final_dot(self, command: Command, reply: Reply) -> None:
        self._clean = reply.ok
        self._closing |= reply.code == CLOSING or reply.code // 100 not in (2, 4, 5)
        reports = "DSN" in self.extensions
        self._under_way().ended(command.recipient, reply, reports=reports, tls=self.tls)
        if self._closing and not self._dialogue.is_owed_replies:
            self._dialogue.close()
        self._end_if_over()

    # Ends

    def _under_way(self) -> Transaction:
        if self._mail is None:
            raise RuntimeError("no mail is under way")  # a bug here, never a peer's doing
        return self._mail

    def _end_if_over(self) -> None:
        if self._dialogue.is_over:
            self._events.append(self._under_way().end())
            self._mail = None

    def _out_of_turn(self, reply: Reply) -> None:
        """A reply too many or too few: which recipient earlier ones were about is not known."""
        if self._mail is not None:
            self._mail.forget_replies()
        self._broken(sentences.OUT_OF_TURN, "4.5.0", reply)

    def _broken(
        self, problem: str, status: str, reply: Reply | None = None, *, phase: Phase | None = None
    ) -> None:
        """The session cannot go on; recipients without an outcome are deferred."""
        phase = phase or self.phase
        doubt = phase is Phase.FINAL_DOT
        sentence = sentences.IN_DOUBT if doubt else sentences.BROKEN
        text = sentence.format(peer=self._peer, problem=problem, status=status)
        said = reply.said if reply else ""
        text += f"/{REMOTE_SAID}{said}" if said else ""
        mail, self._mail = self._mail, None
        if mail is None:
            self._events.append(Unusable(text, said, status, phase))
        else:
            kind = reply_kinds.IN_DOUBT if doubt else ""
            why = Deferred(
                text=text, status=status, peer=self._peer, reply=said, phase=phase, kind=kind
            )
            self._events.append(mail.broken(why, phase))
        self._dialogue.close()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events


_ANSWERS: Mapping[Phase, Callable[[SmtpClient, Command, Reply], None]] = {
    Phase.RSET: SmtpClient._on_rset,
    Phase.MAIL: SmtpClient._on_mail,
    Phase.RCPT: SmtpClient._on_rcpt,
    Phase.DATA: SmtpClient._on_data,
    Phase.FINAL_DOT: SmtpClient._on_final_dot,
}
"""All other phases are of the greeting."""
