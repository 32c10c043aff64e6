"""`smtproutes`: which relay takes the mail for a domain, instead of its MX hosts. Pure.

An entry is `domain:relay[:port]`, as in qmail-remote. `domain` may be `.suffix` (every host below
it) or empty (every other domain); an empty relay means: use MX, an exception to a wider entry.
An IPv6 relay stands in brackets. Ours beyond that: several relays with commas between, then options
with blanks between (route_options), then `|user|password` (the AUTH patch's), which goes to the end
of the line whatever stands in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote

from tubepost import domain_table, idn, route_options
from tubepost.address import AddressError, parse_domain, printable
from tubepost.domain_table import name_for, parse_name
from tubepost.errors import BadInput
from tubepost.route_options import Options
from tubepost.tls_policy import Level, TlsPolicy

MAX_RELAYS = 10


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
    place, bar, login = text.partition("|")
    try:
        domain, where = _split_entry(place)
        return _parse_domain(domain), _route(where, login if bar else None)
    except BadInput as error:
        raise BadInput(f"smtproutes: {_shown(place)!r}: {error}") from error


def _shown(place: str) -> str:
    """Which entry it is, without what may be a password in the wrong place."""
    colon = _colon(place)
    return printable(place[: colon + 1]) if colon >= 0 else printable(place.partition(" ")[0])


def _colon(text: str) -> int:
    """The first one that is not inside the brackets of an address literal."""
    start = text.find("]") + 1 if text.startswith("[") else 0
    return text.find(":", start)


def _split_entry(text: str) -> tuple[str, str]:
    colon = _colon(text)
    if colon < 0:
        raise BadInput("write domain:relay or domain:relay:port")
    return text[:colon].strip(), text[colon + 1 :].strip()


def _parse_domain(text: str) -> str:
    if text.isascii():
        return parse_name(text)
    return parse_name("." * text.startswith(".") + idn.a_labels(text.removeprefix(".")))


def _route(where: str, login: str | None) -> Route:
    """`where`: relays and options; `login`: what stands behind the first bar."""
    words = where.split()
    relays = _parse_relays(words.pop(0)) if words and "=" not in words[0] else ()
    options = route_options.parse(words)
    who = None if login is None else _login(login, percent=options.percent)
    _check(relays, options, who)
    return Route(
        relays=relays,
        login=who,
        tls=_tls(relays, options, who),
        source=options.source,
        helo=options.helo,
        lmtp=options.lmtp,
    )


def _login(text: str, *, percent: bool) -> Login:
    user, _, password = text.partition("|")
    if percent:
        user, password = _decoded(user), _decoded(password)
    if not user or not password:
        raise BadInput("a login is |user|password at the end of the line")
    if any(c < " " or "\ud800" <= c <= "\udfff" for c in user + password):
        raise BadInput("no control characters in a login, and nothing but UTF-8")
    return Login(user, password)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadInput("a percent-encoded login is UTF-8") from None


def _check(relays: tuple[Relay, ...], options: Options, login: Login | None) -> None:
    """That the parts go together."""
    if login is not None and not relays:
        raise BadInput("a login needs a relay: MX hosts are anybody's")
    if login is None and options.percent:
        raise BadInput("login=percent needs |user|password at the end of the line")
    if options.lmtp and not (relays and all(relay.port not in (None, 25) for relay in relays)):
        raise BadInput("lmtp needs relays with a port each, and never 25 (RFC 2033)")


def _tls(relays: tuple[Relay, ...], options: Options, login: Login | None) -> TlsPolicy | None:
    """A password goes to a relay that has proved its name, unless the line says otherwise."""
    level = Level.VERIFY if options.tls is None and login is not None else options.tls
    if level is not Level.VERIFY:
        if options.names:
            raise BadInput("name= is for tls=verify; write both")
        return TlsPolicy(level) if level is not None else None
    return TlsPolicy(level, options.names or _own_names(relays))


def _own_names(relays: tuple[Relay, ...]) -> tuple[str, ...]:
    """The names that certificates have to be for: those by which DNS was asked for the relays."""
    if not relays:
        raise BadInput("tls=verify without a relay needs name=, what certificates must say")
    if any(_is_ip(relay.host) for relay in relays):
        raise BadInput(
            "a relay given by its address needs name=, what its certificate says; or tls=encrypt, "
            "tls=may or tls=none, which let a password go to whoever answers there"
        )
    return tuple(dict.fromkeys(relay.host for relay in relays))


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _parse_relays(text: str) -> tuple[Relay, ...]:
    relays = tuple(_parse_relay(part) for part in text.split(","))
    if len(relays) > MAX_RELAYS:
        raise BadInput(f"{len(relays)} relays; {MAX_RELAYS} at most")
    return relays


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
    except ValueError:
        raise BadInput(f"{printable(text)!r} is not an IP address") from None


def _parse_host(text: str) -> str:
    if text.replace(".", "").isdigit():
        return _parse_literal(text)
    try:
        return parse_domain(text, utf8=True)
    except AddressError:
        raise BadInput(f"{printable(text)!r} is not a host name; leave it empty for MX") from None


def _parse_port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    raise BadInput("what stands behind a relay is not a port; write a number from 1 to 65535")
