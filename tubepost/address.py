"""Mail addresses: parsing and comparing. Pure; no I/O.

An address is kept as the two octet strings RFC 5321 gives it, the local part with its case, the
domain in lower case. Only ASCII is accepted here: SMTPUTF8 needs the whole path to agree.
"""

import re
from dataclasses import dataclass

from tubepost.errors import BadInput

MAX_LOCAL = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 4.5.3.1.2
MAX_ADDRESS = 254  # RFC 5321 4.5.3.1.3: a path of 256 with its angle brackets

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"')
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")


class AddressError(BadInput):
    """Not an address; the text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`. The domain is lower case; an address literal keeps its brackets."""

    local: str
    domain: str

    def __str__(self) -> str:
        """As it goes on the wire: the local part is quoted when it has to be."""
        if _DOT_STRING.fullmatch(self.local):
            return f"{self.local}@{self.domain}"
        quoted = self.local.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"@{self.domain}'

    @property
    def key(self) -> str:
        """For comparing and for look-ups: mailboxes here do not differ by case."""
        return f"{self.local.lower()}@{self.domain}"


def parse_domain(text: str) -> str:
    """A host or mail domain, or an address literal, in lower case. Raises AddressError."""
    domain = text.lower().removesuffix(".")
    if (
        text.isascii()
        and len(domain) <= MAX_DOMAIN
        and (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(text))
    ):
        return domain if not text.startswith("[") else text
    raise AddressError(f"{printable(text)!r} is not a domain name")


def parse_address(text: str) -> Address:
    """`joe@example.org` or `"a b"@example.org` (RFC 5321 4.1.2, Mailbox). Raises AddressError."""
    if len(text) > MAX_ADDRESS:
        raise AddressError(
            f"an address may have {MAX_ADDRESS} characters, this one has {len(text)}"
        )
    if not text.isascii():
        raise AddressError(f"{printable(text)!r} is not ASCII; SMTPUTF8 is not offered here")
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError(f"{printable(text)!r} has no @; write user@domain")
    return Address(_local_part(local), parse_domain(domain))


def _local_part(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        local = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _DOT_STRING.fullmatch(text):
        local = text
    else:
        raise AddressError(f"{printable(text)!r} is not the left side of an address")
    if not local or len(local) > MAX_LOCAL:
        raise AddressError(f"the left side of an address has 1 to {MAX_LOCAL} characters")
    return local


def printable(text: str, limit: int = 200) -> str:
    """`text` for a log or a reply: one line of printable ASCII, cut to `limit` characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])
