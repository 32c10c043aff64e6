"""Builds reports: multipart/report with a delivery status (RFC 6522, 3464). Pure.

A text for people, one block per recipient for programs, then the original: whole, or its header.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from services.scheduler.bounce import Action, Owed
from tubepost import dsn, retry, verp
from tubepost.outcome import one_line, peer_in, said_in
from tubepost.record import Recipient, Record
from tubepost.subjects import REMOTE
from tubepost.trace_headers import header_of, rfc5322_date

MAX_HEADER = 50_000
"""Octets of an original's header that are returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report is made from. `author`: the address in From; times in seconds since 1970.

    `original`: the mail as accepted, or a beginning that has its header; None where it is lost.
    """

    owed: Owed
    mail_id: str
    record: Record
    me: str
    author: str
    to: str
    original: bytes | None
    max_bytes: int
    now: float
    lifetime: float

    @property
    def retry_until(self) -> float:
        return self.record.clock_start + self.lifetime


def returns_whole(record: Record, action: Action, max_bytes: int) -> bool:
    """Whether the mail comes back whole: only with a failure (RFC 3461 4.3), and not if too big."""
    return action is Action.FAILED and record.ret != "HDRS" and record.size <= max_bytes


def build(facts: Facts) -> bytes:
    """The mail, CRLF line ends. Made again from the same record it differs in its dates only."""
    report_id, now = facts.owed.report_id, facts.now
    boundary = f"=_{report_id}"
    parts = [
        _text_part(_text(facts)),
        _part("message/delivery-status", _status(facts).encode()),
        *_original(facts),
    ]
    header = (
        f"Date: {rfc5322_date(now)}\r\n"
        f"From: <{facts.author}>\r\n"
        f"To: <{facts.to}>\r\n"
        f"Message-ID: <{report_id}@{facts.me}>\r\n"
        f"Subject: {_SUBJECTS[facts.owed.action]}\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'  boundary="{boundary}"\r\n'
        f"{_encoding(b''.join(parts))}"
    ).encode()
    delimiter = f"\r\n--{boundary}\r\n".encode()
    return header + delimiter + delimiter.join(parts) + f"\r\n--{boundary}--\r\n".encode()


_SUBJECTS: Mapping[Action, str] = {
    Action.FAILED: "failure notice",
    Action.DELIVERED: "delivery notice",
    Action.RELAYED: "delivery notice",
    Action.DELAYED: "delay notice",
}


# --- for people


def _text(facts: Facts) -> str:
    lines = [f"This is the mail system at {facts.me}.", "", *_about(facts), ""]
    for recipient in facts.owed.recipients:
        lines += [f"<{recipient.address}>:", one_line(recipient.reply), ""]
    if facts.original is None:
        lines += ["The mail itself is lost: it was no longer in the queue.", ""]
    return "\r\n".join(lines)


def _about(facts: Facts) -> tuple[str, ...]:
    match facts.owed.action:
        case Action.FAILED if not facts.record.sender:
            return (
                "A mail without a sender, most likely a notice of a failure, could not be",
                "delivered to the addresses below, and it will not be tried again. You get it",
                "instead.",
            )
        case Action.FAILED:
            return (
                "Your message could not be delivered to the addresses below, and it will not be",
                "tried again.",
            )
        case Action.DELIVERED:
            return ("As you asked to be told: your message was delivered to the addresses below.",)
        case Action.RELAYED:
            return (
                "As you asked to be told: your message was handed to the next mail system on the",
                "way to the addresses below. That system does not tell of success.",
            )
        case Action.DELAYED:
            return (
                "Your message could not be delivered to the addresses below yet. It will be tried",
                f"until {rfc5322_date(facts.retry_until)}; you need not send it again.",
            )


def _text_part(text: str) -> bytes:
    content = text.encode()
    charset = "us-ascii" if content.isascii() else "utf-8"
    return _part(f"text/plain; charset={charset}", content, _encoding(content))


# --- for programs


def _status(facts: Facts) -> str:
    envid = facts.record.envid
    lines = [f"Original-Envelope-Id: {dsn.decoded(envid)}"] if envid else []
    lines += [
        f"Reporting-MTA: dns; {facts.me}",
        f"Arrival-Date: {rfc5322_date(facts.record.created)}",
        f"X-Queue-ID: {facts.mail_id}",
    ]
    for recipient in facts.owed.recipients:
        lines += ["", *_block(facts, recipient)]
    return "\r\n".join([*lines, ""])


def _block(facts: Facts, recipient: Recipient) -> Iterator[str]:
    """The fields about one recipient, in RFC 3464's order."""
    action = facts.owed.action
    if recipient.orcpt:
        kind, _, address = recipient.orcpt.partition(";")
        yield f"Original-Recipient: {kind}; {dsn.decoded(address)}"
    yield f"Final-Recipient: {dsn.address_type(recipient.address).replace(';', '; ', 1)}"
    yield f"Action: {action}"
    yield f"Status: {_STATUS[action](recipient.status)}"
    peer = peer_in(recipient.reply) if facts.record.channel == REMOTE else ""
    if peer:
        yield f"Remote-MTA: dns; [{'IPv6:' if ':' in peer else ''}{peer}]"
    if action is not Action.DELIVERED and recipient.reply:
        yield f"Diagnostic-Code: {_diagnostic(recipient.reply, facts.record.channel)}"
    if facts.record.attempts and facts.record.note is None:
        # after an operator's hand it is not known whether the last thing was an attempt
        yield f"Last-Attempt-Date: {rfc5322_date(facts.now)}"
    if action is Action.DELAYED:
        yield f"Will-Retry-Until: {rfc5322_date(facts.retry_until)}"


def _diagnostic(reply: str, channel: str) -> str:
    line = one_line(reply)
    said = said_in(line.removesuffix("/" + retry.EXPIRED)) if channel == REMOTE else ""
    return f"smtp; {said}" if said else f"x-tubepost; {line}"


_STATUS: Mapping[Action, Callable[[str], str]] = {
    Action.FAILED: lambda status: "5" + (status[1:] or ".0.0"),  # class 4: the time was up
    Action.DELAYED: lambda status: "4" + (status[1:] or ".0.0"),
    Action.DELIVERED: lambda status: status or "2.0.0",
    Action.RELAYED: lambda status: status or "2.0.0",
}


# --- the original


def _original(facts: Facts) -> Iterator[bytes]:
    if facts.original is None:
        return
    returned = f"Return-Path: <{verp.owner(facts.record.sender)}>\r\n".encode()
    if returns_whole(facts.record, facts.owed.action, facts.max_bytes):
        content = returned + facts.original
        kind = "message/global" if _is_global(facts, content) else "message/rfc822"
        yield _part(kind, content, _encoding(content))
    else:
        content = returned + _whole_lines(header_of(facts.original))
        kind = "message/global-headers" if _is_global(facts, content) else "text/rfc822-headers"
        yield _part(kind, content, _encoding(content))


def _is_global(facts: Facts, content: bytes) -> bool:
    """Whether it is a mail only SMTPUTF8 can carry as it is (RFC 6533 4, RFC 6532 3.7)."""
    return facts.record.smtputf8 and not header_of(content).isascii()


def _whole_lines(header: bytes) -> bytes:
    if len(header) <= MAX_HEADER:
        return header
    before, _, _ = header[:MAX_HEADER].rpartition(b"\r\n")
    return before and before + b"\r\n"


def _part(content_type: str, content: bytes, more: str = "") -> bytes:
    return f"Content-Type: {content_type}\r\n{more}\r\n".encode() + content


def _encoding(content: bytes) -> str:
    """What contains 8-bit octets says so, and so does what contains it (RFC 2045 6.4)."""
    return "" if content.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
