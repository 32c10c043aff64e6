"""What the SMTP client writes: command lines and the octets of a mail. Pure; it keeps no state."""

import re
from collections.abc import Container

from tubepost import dsn
from tubepost.outcome import Failed, Outcome
from tubepost.record import Envelope, Wish

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")


def mail_from(envelope: Envelope, body: bytes, extensions: Container[str]) -> bytes:
    """MAIL, with the parameters that the peer offers (RFC 1870, RFC 3461, RFC 6152)."""
    parameters = []
    if "SIZE" in extensions:
        parameters.append(f" SIZE={len(body)}")
    if "8BITMIME" in extensions and not body.isascii():
        parameters.append(" BODY=8BITMIME")
    if "DSN" in extensions and envelope.ret:
        parameters.append(f" RET={envelope.ret}")
    if "DSN" in extensions and envelope.envid:
        parameters.append(f" ENVID={envelope.envid}")
    return f"MAIL FROM:<{envelope.sender}>{''.join(parameters)}\r\n".encode()


def rcpt_to(recipient: str, wish: Wish | None, extensions: Container[str]) -> bytes:
    """RCPT, with what the sender wants to be told if the peer can tell it (RFC 3461 5.2.1)."""
    parameters = ""
    if wish and "DSN" in extensions:
        original = wish.orcpt or f"rfc822;{dsn.encoded(recipient)}"
        parameters = f" NOTIFY={wish.notify}" if wish.notify else ""
        parameters += f" ORCPT={original}" if len(original) <= dsn.MAX_ORCPT else ""
    return f"RCPT TO:<{recipient}>{parameters}\r\n".encode()


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
