"""How much TLS a session with another host needs, and the table that says so. Pure.

The level says what must be so before a mail goes; what a certificate must say is in `names`. An
entry of the table is `domain:level`, or `domain:verify:name,name`, by mail domain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from tubepost import domain_table
from tubepost.address import AddressError, parse_domain, printable
from tubepost.errors import BadInput

SUBMISSIONS_PORT = 465
"""There TLS begins with the first octet (RFC 8314 3.3)."""


class Level(StrEnum):
    """Each demands more than the one before it."""

    NONE = "none"
    """TLS is not begun."""
    MAY = "may"
    """TLS where it is offered, whatever the certificate; in the clear where it is not, or fails."""
    ENCRYPT = "encrypt"
    """TLS or nothing; the certificate is not looked at."""
    VERIFY = "verify"
    """TLS with a certificate that a trusted authority signed for one of the names."""


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """`names`: those a certificate may be for; `.name` is any host below it. Only for VERIFY.

    Without names it is the host's own name that counts: safe where an operator wrote that name, not
    where DNS told it. `implicit`: TLS from the first octet, on whatever port.
    """

    level: Level = Level.MAY
    names: tuple[str, ...] = ()
    implicit: bool = False

    @property
    def demanded(self) -> bool:
        """Whether no mail goes without TLS, on any port."""
        return self.level in (Level.ENCRYPT, Level.VERIFY)

    def demanded_at(self, port: int) -> bool:
        """Whether no mail goes without TLS: where it comes first there is no session without."""
        return self.demanded or self.from_the_start(port)

    def from_the_start(self, port: int) -> bool:
        """Whether TLS comes before the banner."""
        return self.implicit or (port == SUBMISSIONS_PORT and self.level is not Level.NONE)

    def by_starttls(self, port: int) -> bool:
        """Whether STARTTLS is said where it is offered."""
        return self.level is not Level.NONE and not self.from_the_start(port)


OPPORTUNISTIC = TlsPolicy()

VERIFIED = TlsPolicy(Level.VERIFY)
"""For a host whose name an operator wrote."""

Table = Mapping[str, TlsPolicy]
"""By domain, `.suffix` or "" for the default."""


def parse(entries: Iterable[str]) -> Table:
    """The policies in `entries`, one each. Raises BadInput for the first entry that is wrong."""
    return domain_table.parse(entries, _parse_entry, "tlspolicy", "levels")


def lookup(table: Table, domain: str) -> TlsPolicy:
    """The policy for a mail domain: its exact name, then suffixes, then the default; else MAY."""
    if not table:
        return OPPORTUNISTIC
    name = domain_table.name_for(table, domain)
    return OPPORTUNISTIC if name is None else table[name]


def parse_policy(text: str) -> TlsPolicy:
    """`level`, or `verify:name,name`. Raises BadInput."""
    word, colon, names = text.partition(":")
    try:
        level = Level(word.strip().lower())
    except ValueError as error:
        levels = ", ".join(Level)
        raise BadInput(f"{printable(word)!r} is no level; write one of: {levels}") from error
    if colon and level is not Level.VERIFY:
        raise BadInput(f"names are for verify only; with {level} no certificate is looked at")
    return TlsPolicy(level, tuple(map(_parse_name, names.split(","))) if colon else ())


def _parse_entry(text: str) -> tuple[str, TlsPolicy]:
    try:
        domain, colon, policy = text.partition(":")
        if not colon:
            raise BadInput("write domain:level or domain:verify:name,name")
        return domain_table.parse_name(domain.strip()), parse_policy(policy)
    except BadInput as error:
        raise BadInput(f"tlspolicy: {printable(text)!r}: {error}") from error


def _parse_name(text: str) -> str:
    bare = text.strip()
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    try:
        return "." * bare.startswith(".") + parse_domain(bare.removeprefix(".")).lower()
    except AddressError as error:
        example = "write mx.example.org, or .example.org for what is below it"
        raise BadInput(f"{printable(bare)!r} is not a name; {example}") from error
