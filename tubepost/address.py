"""Mail addresses: parsing and comparing. Pure; no I/O.

An address is kept as the two strings RFC 5321 gives it, the local part with its case, the domain in
lower case and A-labels. Other letters than ASCII are taken in the local part only where the caller
says so (RFC 6531): SMTPUTF8 needs the whole path to agree.
"""

import re
import unicodedata
from dataclasses import dataclass

from tubepost import idn
from tubepost.errors import BadInput

MAX_LOCAL = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3: a path of 256 with its angle brackets

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"')
# UTF8-non-ascii (RFC 6532 3.1) without what breaks or turns a line: C1, its ends, bidi.
_WIDE = "\u00a1-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"
_WIDE_ATOM = f"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_WIDE}-]+"
_WIDE_DOT_STRING = re.compile(rf"{_WIDE_ATOM}(?:\.{_WIDE_ATOM})*")
_WIDE_QUOTED = re.compile(rf'"((?:[\x20\x21\x23-\x5b\x5d-\x7e{_WIDE}]|\\[\x20-\x7e])*)"')
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")


class AddressError(BadInput):
    """Not an address; the text says why."""


class NotAscii(AddressError):
    """It may be one where SMTPUTF8 was asked for."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`. The domain is lower case; an address literal keeps its brackets."""

    local: str
    domain: str

    def __str__(self) -> str:
        """As it goes on the wire: the local part is quoted when it has to be."""
        plain = _DOT_STRING if self.local.isascii() else _WIDE_DOT_STRING
        if plain.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'

    @property
    def key(self) -> str:
        """For comparing and for look-ups: mailboxes here do not differ by case."""
        return f"{self.box}@{self.domain}"

    @property
    def box(self) -> str:
        """The local part of `key`. One letter may be written in two ways (RFC 6532 3.1: NFC)."""
        if self.local.isascii():
            return self.local.lower()
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", self.local).lower())


def parse_domain(text: str, *, utf8: bool = False) -> str:
    """A host or mail domain, or an address literal, in lower case. Raises AddressError.

    `utf8`: U-labels are taken, and become A-labels.
    """
    if utf8 and not text.isascii():
        text = _a_labels(text)
    domain = text.lower().removesuffix(".")
    if (
        text.isascii()
        and len(domain) <= MAX_DOMAIN
        and (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(text))
    ):
        return domain if not text.startswith("[") else text
    raise AddressError(f"{printable(text)!r} is not a domain name")


def _a_labels(text: str) -> str:
    try:
        return idn.a_labels(text)
    except idn.DomainError as error:
        raise AddressError(f"{printable(text)!r} is {error}") from error


def parse_address(text: str, *, utf8: bool = False) -> Address:
    """`joe@example.org` or `"a b"@example.org` (RFC 5321 4.1.2, Mailbox). Raises AddressError.

    `utf8`: SMTPUTF8 was asked for (RFC 6531 3.3). An octet that is no UTF-8 is a lone surrogate.
    """
    if len(text) > MAX_ADDRESS:
        raise AddressError(
            f"an address may have {MAX_ADDRESS} characters, this one has {len(text)}"
        )
    if not text.isascii():
        _check_wide(text, utf8=utf8)
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError(f"{printable(text)!r} has no @; write user@domain")
    return Address(_local_part(local), parse_domain(domain, utf8=utf8))


def _check_wide(text: str, *, utf8: bool) -> None:
    try:
        octets = len(text.encode())
    except UnicodeEncodeError as error:
        raise AddressError(f"{printable(text)!r} is not UTF-8") from error
    if not utf8:
        raise NotAscii(f"{printable(text)!r} is not ASCII; that needs SMTPUTF8")
    if octets > MAX_ADDRESS:
        raise AddressError(f"an address may have {MAX_ADDRESS} octets, this one has {octets}")


def _local_part(text: str) -> str:
    ascii_only = text.isascii()
    quoted = (_QUOTED if ascii_only else _WIDE_QUOTED).fullmatch(text)
    if quoted:
        local = re.sub(r"\\(.)", r"\1", quoted[1])
    elif (_DOT_STRING if ascii_only else _WIDE_DOT_STRING).fullmatch(text):
        local = text
    else:
        raise AddressError(f"{printable(text)!r} is not the left side of an address")
    if not local or len(local) > MAX_LOCAL or len(local.encode()) > MAX_LOCAL:
        raise AddressError(f"the left side of an address has 1 to {MAX_LOCAL} characters")
    return local


def printable(text: str, limit: int = 200) -> str:
    """`text` for a log or a reply: one line of printable ASCII, cut to `limit` characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])
