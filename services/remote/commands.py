"""What the SMTP client writes: command lines and the octets of a mail. Pure; it keeps no state."""

import re
from collections.abc import Container

from tubepost import dsn
from tubepost.outcome import Failed, Outcome
from tubepost.record import Envelope, Wish
from tubepost.trace_headers import header_of

_LINE_END = re.compile(rb"\r\n|\r|\n")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")


def mail_from(envelope: Envelope, body: bytes, extensions: Container[str]) -> bytes:
    """MAIL, with the parameters that the peer offers (RFC 1870, 3461, 6152, 6531)."""
    parameters = []
    if "SIZE" in extensions:
        parameters.append(f" SIZE={len(body)}")
    if "8BITMIME" in extensions and not body.isascii():
        parameters.append(" BODY=8BITMIME")
    if envelope.smtputf8 and "SMTPUTF8" in extensions:
        parameters.append(" SMTPUTF8")
    if "DSN" in extensions and envelope.ret:
        parameters.append(f" RET={envelope.ret}")
    if "DSN" in extensions and envelope.envid:
        parameters.append(f" ENVID={envelope.envid}")
    return f"MAIL FROM:<{envelope.sender}>{''.join(parameters)}\r\n".encode()


def rcpt_to(recipient: str, wish: Wish | None, extensions: Container[str]) -> bytes:
    """RCPT, with what the sender wants to be told if the peer can tell it (RFC 3461 5.2.1)."""
    parameters = ""
    if wish and "DSN" in extensions:
        original = wish.orcpt or _original(recipient)
        parameters = f" NOTIFY={wish.notify}" if wish.notify else ""
        parameters += f" ORCPT={original}" if len(original) <= dsn.MAX_ORCPT else ""
    return f"RCPT TO:<{recipient}>{parameters}\r\n".encode()


def _original(recipient: str) -> str:
    if recipient.isascii():
        return f"rfc822;{dsn.encoded(recipient)}"
    return dsn.address_type(recipient)


def refused_addresses(
    envelope: Envelope, body: bytes, peer: str, extensions: Container[str]
) -> dict[str, Outcome]:
    """Outcomes of the recipients that `peer` cannot be asked about, all if the sender is why.

    A CR, LF or NUL would end the command or change it (RFC 5321 4.1.2); other control characters
    have no place there either. What is not ASCII needs SMTPUTF8 (RFC 6531 3.2): addresses, and the
    header of a mail whose sender asked for it. Where nothing is, the mail goes as any other.
    """
    utf8 = "SMTPUTF8" in extensions
    if problem := _problem(envelope.sender, utf8=utf8):
        return dict.fromkeys(
            envelope.recipients, _refusal("The sender's address", problem, peer, "5.1.7")
        )
    if envelope.smtputf8 and not utf8 and not header_of(body).isascii():
        refusal = _refusal("The mail's header", _NOT_ASCII, peer, "")
        return dict.fromkeys(envelope.recipients, refusal)
    return {
        recipient: _refusal("The recipient's address", problem, peer, "5.1.3")
        for recipient in envelope.recipients
        if (problem := _problem(recipient, utf8=utf8))
    }


_NOT_ASCII = "is not ASCII"


def _problem(address: str, *, utf8: bool) -> str:
    if _FORBIDDEN.search(address):
        return "has a control character in it"
    return "" if utf8 or address.isascii() else _NOT_ASCII


def _refusal(what: str, problem: str, peer: str, status: str) -> Failed:
    if problem == _NOT_ASCII:
        status = "5.6.7"
        problem += f" and {peer} does not offer SMTPUTF8"
    return Failed(text=f"{what} {problem}; I can't send it. (#{status})", status=status)


def with_line_ends(body: bytes) -> bytes:
    """The body with CRLF after every line, the last one too."""
    if not body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r"):
        body = _LINE_END.sub(b"\r\n", body)
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


def dot_stuffed(body: bytes) -> bytes:
    """RFC 5321 4.5.2."""
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed
