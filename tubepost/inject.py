"""Makes a mail of what a program hands in, as qmail-inject does (INJ-1). Pure.

What is missing in the header is put in, what must not leave is taken out; fields that are there
stay as they were written, octet for octet. Resent-... fields make it a mail sent on: then they are
what is looked at (RFC 5322 3.6.6).
"""

import re
from dataclasses import dataclass
from email.header import Header

from tubepost.address import Address
from tubepost.address_list import addresses
from tubepost.errors import BadInput
from tubepost.mail_header import Field, Parts, parts, unix_form
from tubepost.trace_headers import rfc5322_date

_TAKEN_OUT = (b"return-path", b"bcc", b"resent-bcc", b"content-length")
_OF_MAILBOX_FILE = re.compile(rb"\A(?:>?From [^\n]*\n)+")
"""No field, so it would begin the body, and Bcc would stand there for all to read."""

_RECIPIENTS = (b"to", b"cc", b"bcc")
_RESENT = tuple(
    b"resent-" + name
    for name in (b"sender", b"from", b"reply-to", b"to", b"cc", b"bcc", b"date", b"message-id")
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who hands it in. `name`: for From:, "" = none. `host`: completes addresses without one."""

    address: Address
    name: str
    host: str


@dataclass(frozen=True, slots=True)
class Injected:
    """`text` has LF line ends; `recipients`: those the header names, Bcc included, each once."""

    text: bytes
    recipients: tuple[str, ...]


def injected(raw: bytes, author: Author, *, now: float, mark: str) -> Injected:
    """`now`: seconds since 1970, for Date; `mark`: makes the Message-ID unique. Raises BadInput.

    A header that cannot be read is an error even where its recipients are not wanted: somebody
    would be left out, or hear more than he should.
    """
    text = unix_form(raw)
    text = _OF_MAILBOX_FILE.sub(b"", text, 1)
    mail = parts(text if text.endswith(b"\n") else text + b"\n")
    resent = mail.has(*_RESENT)
    prefix = b"resent-" if resent else b""
    found = _recipients(mail, prefix, author.host)
    kept = tuple(field for field in mail.fields if field.name not in _TAKEN_OUT)
    missing = _missing(Parts(kept, b""), prefix, author, now, mark)
    return Injected(Parts((*missing, *kept), mail.body).joined(), found)


def _recipients(mail: Parts, prefix: bytes, host: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for field in mail.fields:
        if field.name.removeprefix(prefix) in _RECIPIENTS and field.name.startswith(prefix):
            found |= dict.fromkeys(map(str, addresses(_text(field), host)))
    return tuple(found)


def _text(field: Field) -> str:
    """A name in some old charset may stand beside an address; in an address it is refused."""
    return field.value.decode(errors="surrogateescape")


def _missing(mail: Parts, prefix: bytes, author: Author, now: float, mark: str) -> list[Field]:
    """The fields to put in front."""
    new = {
        b"date": rfc5322_date(now),
        b"message-id": f"<{mark}@{author.host}>",
        b"from": _mailbox(author),
    }
    lines = [(name, value) for name, value in new.items() if not mail.has(prefix + name)]
    if not mail.has(prefix + b"to", prefix + b"cc"):
        lines.append((b"cc", "recipient list not shown: ;"))
    return [_field(prefix + name, value) for name, value in lines]


def _mailbox(author: Author) -> str:
    if not author.name:
        return str(author.address)
    if not author.name.isprintable():
        raise BadInput("a full name is one line of printable text")
    if not author.name.isascii():
        return f"{Header(author.name, 'utf-8', maxlinelen=1000).encode()} <{author.address}>"
    name = author.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{author.address}>'


def _field(name: bytes, value: str) -> Field:
    title = b"-".join(word.capitalize() for word in name.split(b"-")).replace(b"-Id", b"-ID")
    return Field(name, title + b": " + value.encode() + b"\n")
