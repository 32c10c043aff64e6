"""Makes bounces: multipart/report with a delivery status (RFC 3462, 3464). Pure.

The readable part first, then one block per dead recipient for machines, then the original: whole
up to MAX_RETURNED octets, else its header only.
"""

from dataclasses import dataclass

from tubepost.outcome import one_line
from tubepost.record import Fate, Recipient
from tubepost.trace_headers import header_of, rfc5322_date

MAX_RETURNED = 50_000

DOUBLE_BOUNCE_SENDER = "#@[]"
"""qmail's envelope sender of a double bounce: what fails with it is dropped (SEND-12)."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """Who gets the bounce, and its own envelope sender. `kind`: single or double."""

    kind: str
    sender: str
    to: str


def addressed(original_sender: str, double_bounce_recipient: str) -> Addressed | None:
    """Where a bounce for a mail from `original_sender` goes; None = a triple bounce, dropped."""
    if original_sender == DOUBLE_BOUNCE_SENDER:
        return None
    if not original_sender:
        return Addressed("double", DOUBLE_BOUNCE_SENDER, double_bounce_recipient)
    return Addressed("single", "", original_sender)


def bounce_id(mail_id: str, unit: str, attempts: int) -> str:
    """Always the same for the same failure: making it twice makes one mail."""
    return f"{mail_id}b{unit}a{attempts}"


def build(  # noqa: PLR0913 - what a report consists of
    *,
    to: str,
    bounce_from: str,
    me: str,
    mail_id: str,
    failed: tuple[Recipient, ...],
    original: bytes,
    original_sender: str,
    arrived: float,
    now: float,
) -> bytes:
    """The mail, CRLF line ends. `original` is the body as it was accepted; times since 1970."""
    boundary = f"=_{mail_id}.{int(now)}"
    parts = [
        _part("text/plain; charset=us-ascii", _text(me, failed).encode()),
        _part("message/delivery-status", _status(me, mail_id, failed, arrived, now).encode()),
        _original(original, original_sender),
    ]
    header = (
        f"Date: {rfc5322_date(now)}\r\n"
        f"From: <{bounce_from}>\r\n"
        f"To: <{to}>\r\n"
        f"Message-ID: <{mail_id}.{int(now)}@{me}>\r\n"
        "Subject: failure notice\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'  boundary="{boundary}"\r\n'
        f"{_encoding(parts[-1])}"
    ).encode()
    delimiter = f"\r\n--{boundary}\r\n".encode()
    return header + delimiter + delimiter.join(parts) + f"\r\n--{boundary}--\r\n".encode()


def _encoding(content: bytes) -> str:
    """What contains 8-bit octets says so, and so does what contains it (RFC 2045 6.4)."""
    return "" if content.isascii() else "Content-Transfer-Encoding: 8bit\r\n"


def _text(me: str, failed: tuple[Recipient, ...]) -> str:
    lines = [
        f"This is the mail system at {me}.",
        "",
        "Your message could not be delivered to the addresses below, and it will not be",
        "tried again.",
        "",
    ]
    for recipient in failed:
        lines += [f"<{recipient.address}>:", recipient.reply, ""]
    return "\r\n".join(lines)


def _status(
    me: str, mail_id: str, failed: tuple[Recipient, ...], arrived: float, now: float
) -> str:
    lines = [
        f"Reporting-MTA: dns; {me}",
        f"X-Queue-ID: {mail_id}",
        f"Arrival-Date: {rfc5322_date(arrived)}",
    ]
    for recipient in failed:
        lines += [
            "",
            f"Final-Recipient: rfc822; {recipient.address}",
            "Action: failed",
            f"Status: {_permanent(recipient.status)}",
            f"Diagnostic-Code: x-tubepost; {one_line(recipient.reply)}",
            f"Last-Attempt-Date: {rfc5322_date(now)}",
        ]
    return "\r\n".join([*lines, ""])


def _permanent(status: str) -> str:
    """Given up for good, so the class is 5, also where the last reply was a deferral."""
    return "5" + status[1:] if status else "5.0.0"


def _part(content_type: str, content: bytes, more: str = "") -> bytes:
    return f"Content-Type: {content_type}\r\n{more}\r\n".encode() + content


def _original(original: bytes, sender: str) -> bytes:
    returned = f"Return-Path: <{sender}>\r\n".encode()
    if len(original) <= MAX_RETURNED:
        return _part("message/rfc822", returned + original, _encoding(original))
    header = header_of(original)[:MAX_RETURNED]
    return _part("text/rfc822-headers", returned + header, _encoding(header))


def dead(recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
    """Those a bounce is still owed for."""
    return tuple(r for r in recipients if r.fate is Fate.FAILED)
