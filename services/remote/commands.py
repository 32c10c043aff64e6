"""What the SMTP client writes: command lines and the octets of a mail. Pure; it keeps no state."""

import re
from collections.abc import Container

from tubepost.outcome import Failed, Outcome
from tubepost.record import Envelope

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")


def mail_from(sender: str, body: bytes, extensions: Container[str]) -> bytes:
    """MAIL, with the parameters that the peer offers and the body needs (RFC 1870, RFC 6152)."""
    size = f" SIZE={len(body)}" if "SIZE" in extensions else ""
    eight = " BODY=8BITMIME" if "8BITMIME" in extensions and not body.isascii() else ""
    return f"MAIL FROM:<{sender}>{size}{eight}\r\n".encode()


def rcpt_to(recipient: str) -> bytes:
    return f"RCPT TO:<{recipient}>\r\n".encode()


def refused_addresses(envelope: Envelope) -> dict[str, Outcome]:
    """Outcomes of the recipients that cannot be written in a command, all if the sender cannot.

    A CR, LF or NUL would end the command or change it (RFC 5321 4.1.2); other control characters
    have no place there either, and what is not ASCII needs SMTPUTF8.
    """
    if problem := _problem(envelope.sender):
        return dict.fromkeys(envelope.recipients, _refusal("The sender's address", problem, "7"))
    return {
        recipient: _refusal("The recipient's address", problem, "3")
        for recipient in envelope.recipients
        if (problem := _problem(recipient))
    }


def _problem(address: str) -> str:
    if _FORBIDDEN.search(address):
        return "has a control character in it"
    return "" if address.isascii() else "is not ASCII"


def _refusal(whose: str, problem: str, detail: str) -> Failed:
    return Failed(
        text=f"{whose} {problem}; I can't send it. (#5.1.{detail})", status=f"5.1.{detail}"
    )


def with_line_ends(body: bytes) -> bytes:
    """The body with CRLF after every line, the last one too."""
    if not body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r"):
        body = _LINE_END.sub(b"\r\n", body)
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


def dot_stuffed(body: bytes) -> bytes:
    """RFC 5321 4.5.2."""
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
