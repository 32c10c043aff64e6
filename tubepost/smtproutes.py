"""`smtproutes`: which relay takes the mail for a domain, instead of its MX hosts. Pure.

An entry is `domain:relay[:port]`, as in qmail-remote. `domain` may be `.suffix` (every host below
it) or empty (every other domain); an empty relay means: use MX, an exception to a wider entry.
An IPv6 relay stands in brackets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from tubepost import domain_table
from tubepost.address import AddressError, parse_domain, printable
from tubepost.domain_table import name_for, parse_name
from tubepost.errors import BadInput
from tubepost.tls_policy import TlsPolicy


@dataclass(frozen=True, slots=True)
class Relay:
    """`host`: a name (its address records are used, never its MX) or an IP without brackets."""

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """What a relay is told by AUTH. Never shown."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the mail of a domain goes. `relays`: tried in this order; none: the MX hosts.

    `tls` None: the policy of the domain rules. `source`: IPs to connect from, one of a family;
    none, and no `helo`: as for everything else.
    """

    relays: tuple[Relay, ...] = ()
    login: Login | None = None
    tls: TlsPolicy | None = None
    source: tuple[str, ...] = ()
    helo: str = ""
    lmtp: bool = False


BY_MX = Route()

Routes = Mapping[str, Route]
"""By domain, `.suffix` or "" for the default."""


def parse(entries: Iterable[str]) -> Routes:
    """The routes in `entries`, one each. Raises BadInput for the first entry that is wrong."""
    return domain_table.parse(entries, _parse_entry, "smtproutes", "routes")


def lookup(routes: Routes, domain: str) -> Route:
    """The route of a mail domain: its exact name, then suffixes, then the default; else by MX."""
    name = name_for(routes, domain)
    return BY_MX if name is None else routes[name]


def _parse_entry(text: str) -> tuple[str, Route]:
    try:
        domain, relay = _split_entry(text)
        return parse_name(domain), Route(relays=_parse_relays(relay))
    except BadInput as error:
        raise BadInput(f"smtproutes: {printable(text)!r}: {error}") from error


def _split_entry(text: str) -> tuple[str, str]:
    """At the first colon that is not inside the brackets of an address literal."""
    start = text.find("]") + 1 if text.startswith("[") else 0
    colon = text.find(":", start)
    if colon < 0:
        raise BadInput("write domain:relay or domain:relay:port")
    return text[:colon].strip(), text[colon + 1 :].strip()


def _parse_relays(text: str) -> tuple[Relay, ...]:
    return (_parse_relay(text),) if text else ()


def _parse_relay(text: str) -> Relay:
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadInput("a relay in brackets is [address] or [address]:port")
        return Relay(_parse_literal(literal), _parse_port(rest[1:]) if rest else None)
    host, colon, port = text.partition(":")
    if ":" in port:
        raise BadInput("an IPv6 relay stands in brackets: [2001:db8::1]:port")
    return Relay(_parse_host(host), _parse_port(port) if colon else None)


def _parse_literal(text: str) -> str:
    bare = text[5:] if text[:5].lower() == "ipv6:" else text
    try:
        return str(ip_address(bare))
    except ValueError as error:
        raise BadInput(f"{printable(text)!r} is not an IP address") from error


def _parse_host(text: str) -> str:
    if text.replace(".", "").isdigit():
        return _parse_literal(text)
    try:
        return parse_domain(text)
    except AddressError as error:
        raise BadInput(f"{printable(text)!r} is not a host name; leave it empty for MX") from error


def _parse_port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    raise BadInput(f"{printable(text)!r} is not a port; write a number from 1 to 65535")
