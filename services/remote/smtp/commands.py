"""What the SMTP client writes: command lines and the octets of a mail. Pure; it keeps no state."""

import re
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from services.remote.smtp import sentences
from services.remote.smtp.events import Phase
from tubepost import dsn
from tubepost.outcome import Failed
from tubepost.record import Envelope, Wish
from tubepost.trace_headers import header_of

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # half a surrogate pair has no octets

NO_SMTPUTF8 = "5.6.7"
"""RFC 6531 3.2. The next host may offer it."""

TOO_BIG = "5.3.4"
"""RFC 3463. The next host may take more."""


class Command(NamedTuple):
    """A line to say. `phase`: what the peer's reply to it belongs to; `recipient`: of RCPT."""

    phase: Phase
    line: bytes = b""
    recipient: str = ""


def is_unsendable(argument: str) -> bool:
    """Whether it would end the command, or change it."""
    return _FORBIDDEN.search(argument) is not None


_DATA = Command(Phase.DATA, b"DATA\r\n")


def mail_commands(
    envelope: Envelope, body: bytes, recipients: Sequence[str], extensions: Container[str]
) -> list[Command]:
    """The envelope of a mail to some of its recipients, and DATA."""
    rcpts = [
        Command(Phase.RCPT, rcpt_to(r, envelope.wishes.get(r), extensions), r) for r in recipients
    ]
    return [Command(Phase.MAIL, mail_from(envelope, body, extensions)), *rcpts, _DATA]


def mail_from(envelope: Envelope, body: bytes, extensions: Container[str]) -> bytes:
    """MAIL, with the parameters that the peer offers (RFC 1870, 3461, 6152, 6531)."""
    parameters = ""
    if "SIZE" in extensions:
        parameters = f" SIZE={len(body)}"
    if "8BITMIME" in extensions and not body.isascii():
        parameters += " BODY=8BITMIME"
    if envelope.smtputf8 and "SMTPUTF8" in extensions:
        parameters += " SMTPUTF8"
    if "DSN" in extensions:
        parameters += _parameter("RET", envelope.ret) + _parameter("ENVID", envelope.envid)
    return f"MAIL FROM:<{envelope.sender}>{parameters}\r\n".encode()


def rcpt_to(recipient: str, wish: Wish | None, extensions: Container[str]) -> bytes:
    """RCPT, with what the sender wants to be told if the peer can tell it (RFC 3461 5.2.1)."""
    parameters = ""
    if wish and "DSN" in extensions:
        original = wish.orcpt or _original(recipient)
        parameters = _parameter("NOTIFY", wish.notify)
        parameters += _parameter("ORCPT", original) if len(original) <= dsn.MAX_ORCPT else ""
    return f"RCPT TO:<{recipient}>{parameters}\r\n".encode()


def _parameter(name: str, value: str) -> str:
    """A wish that could not have come by SMTP is left out rather than the mail."""
    if not value or " " in value or is_unsendable(value):
        return ""
    return f" {name}={value}"


def _original(recipient: str) -> str:
    if recipient.isascii():
        return f"rfc822;{dsn.encoded(recipient)}"
    return dsn.address_type(recipient)


def refused_addresses(
    envelope: Envelope, body: bytes, peer: str, extensions: Mapping[str, str]
) -> dict[str, Failed]:
    """Outcomes of the recipients that `peer` cannot be asked about, all if the mail itself is why.

    A CR, LF or NUL would end the command or change it (RFC 5321 4.1.2); other control characters
    have no place there either. What is not ASCII needs SMTPUTF8 (RFC 6531 3.2): addresses, and the
    header of a mail whose sender asked for it. Where nothing is, the mail goes as any other.
    """
    if refusal := _mail_refused(envelope, body, peer, extensions):
        return dict.fromkeys(envelope.recipients, refusal)
    utf8 = "SMTPUTF8" in extensions
    return {
        recipient: _refusal(sentences.RECIPIENT, problem, peer, Phase.RCPT)
        for recipient in envelope.recipients
        if (problem := _problem(recipient, utf8=utf8))
    }


def elsewhere(refused: Mapping[str, Failed]) -> frozenset[str]:
    """Those of refused_addresses that another host may take."""
    return frozenset(r for r, why in refused.items() if why.status in (NO_SMTPUTF8, TOO_BIG))


def _mail_refused(
    envelope: Envelope, body: bytes, peer: str, extensions: Mapping[str, str]
) -> Failed | None:
    utf8 = "SMTPUTF8" in extensions
    if problem := _problem(envelope.sender, utf8=utf8):
        return _refusal(sentences.SENDER, problem, peer, Phase.MAIL)
    if envelope.smtputf8 and not utf8 and not header_of(body).isascii():
        return _refusal(sentences.HEADER, sentences.NOT_ASCII, peer, Phase.MAIL)
    limit = extensions.get("SIZE", "")
    if limit.isdecimal() and limit.isascii() and 0 < int(limit[:_DIGITS]) < len(body):
        text = sentences.TOO_BIG.format(peer=peer, limit=int(limit[:_DIGITS]), size=len(body))
        return Failed(text=text, status=TOO_BIG, peer=peer, phase=Phase.MAIL)
    return None


_DIGITS = 20
"""Of a SIZE, as in RFC 1870 4; `SIZE` and `SIZE 0` are no limit."""


def _problem(address: str, *, utf8: bool) -> str:
    if _FORBIDDEN.search(address):
        return sentences.CONTROL_CHARACTER
    if (">" in address or " " in address) and '"' not in address:
        return sentences.BRACKET
    return "" if utf8 or address.isascii() else sentences.NOT_ASCII


def _refusal(what: str, problem: str, peer: str, phase: Phase) -> Failed:
    if problem == sentences.NOT_ASCII:
        status = NO_SMTPUTF8
    else:
        status = "5.1.7" if phase is Phase.MAIL else "5.1.3"
    filled = problem.format(peer=peer)
    text = sentences.UNSENDABLE.format(what=what, problem=filled, status=status)
    return Failed(text=text, status=status, phase=phase)


def with_line_ends(body: bytes) -> bytes:
    """The body with CRLF after every line, the last one too."""
    if not body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r"):
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


def dot_stuffed(body: bytes) -> bytes:
    """RFC 5321 4.5.2."""
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
