"""Plays a golden conversation with our SMTP client: the file is the peer, and knows our lines.

Octets only: no socket, no clock. The lines that begin with `#` on top say why it exists.

    T: words        lmtp, secure (TLS from the start), login USER PASSWORD, in-clear, send, bad-helo
    S: text         the peer sends text and CRLF
    S> text         the peer sends text as it is, with \\r \\n \\t \\\\ and \\xNN written so
    S! close        the connection is lost
    M: <s> <r> ...  a mail is given to the client; the word smtputf8 may follow
    B: text         a line of its body (after M, before anything else)
    C: text         the next line that we send is exactly this
    C! tls          we begin TLS, and it succeeds
    C! quit         we are told to end the session
    C! close        we have hung up, and have nothing more to say
    = ready         we are ready for a mail
    = unusable STATUS text
    = ADDRESS KIND [STATUS [elsewhere]] text      an outcome: delivered, deferred, failed

What we send has to be expected, and so has each event. `[...]` stands for words of no matter.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Event, MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.terms import Dialect
from tests.conversations.play import ConversationError, Line, unescaped
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.record import Envelope
from tubepost.smtproutes import Login

PEER = "192.0.2.1"
_KINDS = ("T:", "S:", "S>", "S!", "M:", "B:", "C:", "C!", "=")


def play(path: Path) -> None:
    """ConversationError tells the line, what was expected and what came."""
    rows = path.read_text("utf-8").splitlines()
    if not rows or not rows[0].startswith("#"):
        raise ConversationError(f"{path.name} does not say on top why it exists")
    player = _Player()
    line = Line(path, 0, "", "")
    for number, raw in enumerate(rows, 1):
        kind = next((kind for kind in _KINDS if raw.startswith(kind)), "")
        if raw.strip() and not raw.startswith("#"):
            line = Line(path, number, kind, raw[len(kind) :].removeprefix(" "))
            player.play(line)
    player.end(line)


class _Player:
    def __init__(self) -> None:
        self._client = SmtpClient(PEER, "me.example")
        self._sent = b""
        self._said: list[str] = []  # events as lines of a file
        self._mail: tuple[Envelope, list[bytes]] | None = None

    def play(self, line: Line) -> None:
        if line.kind not in _PLAYS:
            raise line.failed("a line of no known kind")
        if self._mail and line.kind != "B:":
            envelope, body = self._mail
            self._mail = None
            self._hear(self._client.send_mail(envelope, b"\r\n".join([*body, b""])))
        _PLAYS[line.kind](self, line)

    def end(self, line: Line) -> None:
        """Nothing may be left over."""
        self._pump()
        if self._sent or self._said:
            raise line.failed(f"more: {self._sent!r} {self._said}")

    def on_terms(self, line: Line) -> None:
        words = line.text.split()
        at = words.index("login") if "login" in words else None
        self._client = SmtpClient(
            PEER,
            "me\r\n.example" if "bad-helo" in words else "me.example",
            secure="secure" in words,
            dialect=Dialect(
                lmtp="lmtp" in words,
                login=Login(_text(words[at + 1]), words[at + 2]) if at is not None else None,
                login_in_clear="in-clear" in words,
                convert="send" not in words,
            ),
        )

    def on_line(self, line: Line) -> None:
        self._hear(self._client.receive(line.text.encode() + b"\r\n"))

    def on_octets(self, line: Line) -> None:
        self._hear(self._client.receive(unescaped(line.text)))

    def on_lost(self, _: Line) -> None:
        self._hear(self._client.lost())

    def on_mail(self, line: Line) -> None:
        sender, *recipients = (
            _text(address) for address in re.findall("<(.*?)>(?= |$)", line.text)
        )
        utf8 = line.text.endswith(" smtputf8")
        self._mail = Envelope(sender, tuple(recipients), smtputf8=utf8), []

    def on_body(self, line: Line) -> None:
        if self._mail is None:
            raise line.failed("a body without a mail")
        self._mail[1].append(unescaped(line.text))

    def on_our_line(self, line: Line) -> None:
        self._pump()
        ours, end, self._sent = self._sent.partition(b"\r\n")
        if not end or ours != line.text.encode():
            raise line.failed(f"C: {ours.decode('utf-8', 'backslashreplace')} {self._said}")

    def on_our_act(self, line: Line) -> None:
        if line.text == "quit":
            self._client.quit()
        elif line.text == "tls" and self._said == ["tls"]:
            self._said.clear()
            self._client.tls_started()
        elif line.text != "close" or self._client.phase is not Phase.CLOSED:
            raise line.failed(f"phase {self._client.phase}, {self._said}")

    def on_event(self, line: Line) -> None:
        got = self._said.pop(0) if self._said else "nothing"
        if not re.fullmatch(re.escape(line.text).replace(r"\[\.\.\.\]", ".+"), got):
            raise line.failed(f"= {got}")

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            self._said += _shown(event)
        self._pump()

    def _pump(self) -> None:
        """At once, as the shell does: a reply counts only for what has been sent."""
        while octets := self._client.data_to_send():
            self._sent += octets


_PLAYS: Mapping[str, Callable[[_Player, Line], None]] = {
    "T:": _Player.on_terms,
    "S:": _Player.on_line,
    "S>": _Player.on_octets,
    "S!": _Player.on_lost,
    "M:": _Player.on_mail,
    "B:": _Player.on_body,
    "C:": _Player.on_our_line,
    "C!": _Player.on_our_act,
    "=": _Player.on_event,
}


def _text(escaped: str) -> str:
    return unescaped(escaped).decode()


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def _shown(event: Event) -> list[str]:
    match event:
        case Ready():
            return ["ready"]
        case StartTls():
            return ["tls"]
        case Unusable(text, _, status):
            return [f"unusable {status} {text}"]
        case MailEnd(outcomes, elsewhere):
            return [
                f"{_escaped(address)} {_outcome(outcome, address in elsewhere)}"
                for address, outcome in outcomes.items()
            ]


def _outcome(outcome: Outcome, elsewhere: bool) -> str:
    if isinstance(outcome, Delivered):
        return f"delivered {outcome.text}"
    kind = "deferred" if isinstance(outcome, Deferred) else "failed"
    return f"{kind} {outcome.status} {'elsewhere ' if elsewhere else ''}{outcome.text}"
