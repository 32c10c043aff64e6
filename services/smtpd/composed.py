"""A mail made from its parts, for programs that have no mail library."""

import base64
import binascii
import re
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP

from pydantic import BaseModel, ConfigDict, Field

from tubepost.address import Address
from tubepost.address_list import addresses
from tubepost.errors import BadInput
from tubepost.mail_header import Parts, parts, unix_form

_NAME = re.compile(r"[!-9;-~]{1,100}")
_TYPE = re.compile(r"([a-z0-9][a-z0-9.+-]*)/([a-z0-9][a-z0-9.+-]*)", re.IGNORECASE)
_OURS = frozenset({"from", "to", "cc", "bcc", "reply-to", "subject", "mime-version"})
"""Fields that have a place of their own; those of the content begin Content-."""

_ADDRESSES = frozenset({b"from", b"to", b"cc", b"bcc", b"reply-to"})
_HOST = "localhost"

MOST_ADDRESSES = 40_000
MOST_TEXT = 10_000
"""Characters of a field that names people, and of another."""


class Attachment(BaseModel):
    """A file that goes with the mail. `content`: base64."""

    model_config = ConfigDict(extra="forbid")

    name: str
    type: str = "application/octet-stream"
    content: str


class NewMail(BaseModel):
    """Addresses are as in a header, `Ann <ann@example.org>`, each by itself."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    author: str = Field(alias="from")
    sender: str | None = Field(
        None, description="Who gets bounces, '' = nobody; else who it is from."
    )
    to: list[str] = []
    cc: list[str] = []
    bcc: list[str] = []
    reply_to: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    headers: dict[str, str] = {}
    attachments: list[Attachment] = []


def composed(new: NewMail) -> bytes:
    """With LF line ends, and Bcc still among the fields. Raises BadInput."""
    given = {name: value for name, value in _fields(new) if value}
    _check_size(given)
    wanted = {name.lower().encode(): _found(value) for name, value in given.items() if _has(name)}
    wide = not all(str(address).isascii() for found in wanted.values() for address in found)
    mail = EmailMessage(policy=SMTP.clone(linesep="\n", cte_type="7bit", utf8=wide))
    try:
        for name, value in given.items():
            mail[name] = value
        _fill(mail, new)
        text = unix_form(mail.as_bytes())
    except (MessageError, ValueError, LookupError) as error:
        raise BadInput(f"this cannot be made a mail: {error}") from error
    _check(parts(text), [name.lower().encode() for name in mail], wanted)
    return text


def _check_size(given: dict[str, str]) -> None:
    """The standard library takes the square of a field's length: 160 KB were 10 s."""
    for name, value in given.items():
        most = MOST_ADDRESSES if _has(name) else MOST_TEXT
        if len(value) > most:
            raise BadInput(f"{name} has {len(value)} characters; {most} is the most")
    if sum(map(len, given.values())) > 2 * MOST_ADDRESSES:
        raise BadInput(f"the fields have more than {2 * MOST_ADDRESSES} characters together")


def _has(name: str) -> bool:
    return name.lower().encode() in _ADDRESSES


def _found(value: str) -> list[Address]:
    return addresses(value, _HOST)


def _check(made: Parts, names: list[bytes], wanted: dict[bytes, list[Address]]) -> None:
    """What was asked for, and nothing else. The standard library decodes encoded words and writes
    what it found: a line end there would begin a field (CVE-2024-6923), a comma an address.
    """
    if [field.name for field in made.fields] != names:
        raise BadInput("a field has an encoded word with a line end in it; take it out")
    for field in made.fields:
        if field.name in wanted and _found(field.value.decode()) != wanted[field.name]:
            title = field.name.decode()
            raise BadInput(f"{title}: write names as plain text, in quotes, not as encoded words")


def _each_alone(title: str, texts: list[str]) -> str:
    """A name from a form may have a comma in it: what stands before it would be another address."""
    if any(len(_found(text)) != 1 for text in texts):
        raise BadInput(f"{title}: give each address by itself")
    return ", ".join(texts)


def _fields(new: NewMail) -> list[tuple[str, str]]:
    for name in new.headers:
        if name.lower() in _OURS or name.lower().startswith(("content-", "resent-")):
            raise BadInput(f"{name} cannot be one of `headers`: it has a place of its own")
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} is no name of a header field")
    return [
        ("From", new.author),
        ("To", _each_alone("to", new.to)),
        ("Cc", _each_alone("cc", new.cc)),
        ("Bcc", _each_alone("bcc", new.bcc)),
        ("Reply-To", new.reply_to),
        ("Subject", new.subject),
        *new.headers.items(),
    ]


def _fill(mail: EmailMessage, new: NewMail) -> None:
    if new.text or not new.html:
        mail.set_content(new.text)
        if new.html:
            mail.add_alternative(new.html, subtype="html")
    else:
        mail.set_content(new.html, subtype="html")
    for file in new.attachments:
        kind = _TYPE.fullmatch(file.type)
        if not kind or kind[1].lower() in ("multipart", "message"):
            raise BadInput(f"{file.type!r} is no type of a file; give one like application/pdf")
        mail.add_attachment(
            _octets(file), maintype=kind[1].lower(), subtype=kind[2].lower(), filename=file.name
        )


def _octets(file: Attachment) -> bytes:
    try:
        return base64.b64decode(file.content, validate=True)
    except binascii.Error as error:
        raise BadInput(f"the content of {file.name!r} is not base64") from error
