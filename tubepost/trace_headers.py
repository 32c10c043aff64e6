"""The header fields a mail collects on its way: Received, Return-Path, Delivered-To. Pure.

Bytes in, bytes out, CRLF line ends; a body is never decoded.
"""

from datetime import UTC, datetime

MAX_HOPS = 100
"""qmail-smtpd's MAXHOPS: so many Received and Delivered-To fields are a loop."""


def rfc5322_date(now: float) -> str:
    """`23 Nov 2026 03:14:30 -0000`, the form qmail writes. English whatever the locale."""
    t = datetime.fromtimestamp(now, UTC)
    month = _MONTHS[t.month - 1]
    return f"{t.day} {month} {t.year} {t.hour:02}:{t.minute:02}:{t.second:02} -0000"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def received(  # noqa: PLR0913 - the parts of the field
    *,
    client: str,
    helo: str,
    user: str,
    by: str,
    protocol: str,
    mail_id: str,
    now: float,
    tls: str = "",
    host: str = "",
) -> bytes:
    """A Received field in qmail-smtpd's shape. `protocol`: RFC 3848 keyword (ESMTPSA ...).

    `tls`: a comment on what it came encrypted with (TLS-1).

    `helo` and `user` come from the client: whatever is not plain becomes `?` (safeput, received.c).
    `host`: the client's reverse name; a HELO that is the same is not repeated (SMTPD-17).
    """
    info = f"{_plain(user)}@" if user else ""
    greeted = f" (HELO {_plain(helo)})" if helo and helo.lower() != host else ""
    secured = f" ({tls})" if tls else ""
    return (
        f"Received: from {_plain(host) or 'unknown'}{greeted} ({info}{client})\r\n"
        f"  by {by} with {protocol} id {mail_id}{secured}; {rfc5322_date(now)}\r\n"
    ).encode()


def _plain(text: str) -> str:
    """Letters, digits and `.@%+/=:-[]_`; anything else becomes `?`."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".@%+/=:-[]_") else "?" for c in text)


def return_path(sender: str) -> bytes:
    return f"Return-Path: <{sender}>\r\n".encode()


def delivered_to(recipient: str) -> bytes:
    return f"Delivered-To: {recipient}\r\n".encode()


def header_of(body: bytes) -> bytes:
    """The header with the line end of its last field; the whole where there is no empty line."""
    if body.startswith(b"\r\n"):
        return b""
    end = body.find(b"\r\n\r\n")
    return body if end < 0 else body[: end + 2]


def hops(body: bytes) -> int:
    """How many fields that a hop adds the header has: they begin Received or Delivered."""
    header = b"\r\n" + header_of(body).lower()
    return header.count(b"\r\nreceived") + header.count(b"\r\ndelivered")


def delivered_to_in(body: bytes) -> frozenset[str]:
    """The addresses, in small letters, that a mail was delivered to before: nearly always none."""
    header = b"\r\n" + header_of(body).lower()
    if _DELIVERED_TO not in header:
        return frozenset()
    fields = header.split(_DELIVERED_TO)[1:]
    return frozenset(
        field.partition(b"\r\n")[0].strip().decode(errors="replace").lower() for field in fields
    )


_DELIVERED_TO = b"\r\ndelivered-to:"
