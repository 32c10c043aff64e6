"""What a mailing list makes of a mail that was sent to it: header, envelope, who gets it. Pure.

Nothing that the author wrote is touched, neither From and Subject nor the body: a DKIM signature
still fits, unless it is one over list fields of the author's own (a newsletter's).
"""

import re
from email.header import Header
from urllib.parse import quote

from tubepost import verp
from tubepost.address import MAX_LOCAL, Address, parse_address
from tubepost.candidates import RETURN
from tubepost.directory_values import MODERATORS, MailingList
from tubepost.trace_headers import header_of

OWNER = "-owner"
"""`list-owner@` reaches whoever answers for the list (candidates.OWNER_ENDINGS)."""

MAX_NAME = 100
"""Characters of a list's name that stand in List-Id."""

# What the list sets itself, and what the subscribers of another list are told to do there. That
# list's List-Archive stays: it has the mail (RFC 2369 4). List-Id goes: it would be one of a
# list that does not know of this one (RFC 2919 6).
_REPLACED = (
    *("List-Id", "List-Post", "List-Owner", "List-Help", "List-Subscribe", "List-Unsubscribe"),
    *("List-Unsubscribe-Post", "Precedence"),
)
_FIELD = re.compile(
    rf"^(?:{'|'.join(_REPLACED)})[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)".encode(), re.I | re.M
)
_LIST_ID = re.compile(rb"^List-Id[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.I | re.M)
_ATOM = "!#$&'*+/=?^`{|}"
"""What may stand in an atom (RFC 5322 3.2.3) and `quote` would escape. `%` does that itself."""


def owner_address(mailing_list: MailingList) -> str:
    """Of the list, as members may know it: the owner's own address is nobody's business."""
    return _beside(mailing_list, OWNER)


def sender(mailing_list: MailingList) -> str:
    """Envelope sender of what goes to the members: each gets it from one of its own (SEND-13)."""
    own = _beside(mailing_list, RETURN)
    return own if own == mailing_list.owner else own + verp.ENDING


def members(mailing_list: MailingList) -> tuple[str, ...]:
    """Who gets a mail: each once, the list itself never."""
    found: dict[str, str] = {}
    for member in mailing_list.members:
        found.setdefault(_key(member), member)
    found.pop(_key(mailing_list.address), None)
    return tuple(found.values())


def loops(mailing_list: MailingList, body: bytes) -> bool:
    """Whether the list has had this mail before: it carries the list's own List-Id."""
    own = f"<{_list_id(mailing_list)}>".lower().encode()
    return any(own in field.lower() for field in _LIST_ID.findall(header_of(body)))


def copy(mailing_list: MailingList, body: bytes) -> bytes:
    """The mail as the members get it, but for Delivered-To."""
    header = header_of(body)
    return _fields(mailing_list) + _FIELD.sub(b"", header) + body[len(header) :]


def _fields(mailing_list: MailingList) -> bytes:
    """RFC 2369, RFC 2919. Subscribing is the owner's work: it is asked by mail.

    `Precedence: list` is no standard, but what programs that answer mail look for (RFC 3834 2).
    """
    owner = _mailto(owner_address(mailing_list))
    closed = mailing_list.posting == MODERATORS
    post = "NO" if closed else f"<{_mailto(mailing_list.address)}>"
    return (
        f"List-Id: {_phrase(mailing_list.name)}<{_list_id(mailing_list)}>\r\n"
        f"List-Post: {post}\r\n"
        f"List-Owner: <{owner}>\r\n"
        f"List-Unsubscribe: <{owner}?subject=unsubscribe>\r\n"
        "Precedence: list\r\n"
    ).encode("ascii")


def _list_id(mailing_list: MailingList) -> str:
    """`list.domain`. What no atom may have is escaped: RFC 2919 knows no quotes."""
    address = _parsed(mailing_list)
    local = quote(address.local, safe=_ATOM)
    if mailing_list.address.startswith('"'):
        local = local.replace(".", "%2E")
    return f"{local}.{address.domain}"


def _mailto(address: str) -> str:
    """RFC 6068."""
    local, _, domain = address.rpartition("@")
    return f"mailto:{quote(local, safe='!$*+-._~')}@{domain}"


def _phrase(name: str) -> str:
    """The list's name, for people: a quoted string, or encoded words (RFC 2047)."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name[:MAX_NAME]).split())
    if not line:
        return ""
    if not line.isascii():
        return Header(line, "utf-8", header_name="List-Id").encode(linesep="\r\n") + " "
    quoted = line.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" '


def _beside(mailing_list: MailingList, ending: str) -> str:
    """An address of the list's own: its local part with an ending. Where there is no room for
    that, the owner's."""
    address = _parsed(mailing_list)
    local = address.local + ending
    if len(local.encode()) > MAX_LOCAL:
        return mailing_list.owner
    return str(Address(local, address.domain))


def _parsed(mailing_list: MailingList) -> Address:
    """It stands in the directory, so it is an address."""
    return parse_address(mailing_list.address, utf8=True)


def _key(address: str) -> str:
    """As Address.key. Those of the directory were parsed when they were written, and of ten
    thousand nearly all are ASCII."""
    if address.isascii():
        return address.lower()
    local, _, domain = address.rpartition("@")
    return Address(local, domain.lower()).key
