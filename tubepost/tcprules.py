"""tcpserver's rules: who may connect, and with which variables. Pure.

A rule is `address:allow` or `address:deny`, with `,NAME="value"` any number of times; the quote may
be any character. The address is an exact IP, a dotted prefix with its dot (`10.0.`), a range in the
last part (`10.0.0.1-22`), a network in CIDR form, or empty for everybody. The most specific rule
wins, whatever the order of the lines; the first of two with one address counts; no rule = allow.
Source: ucspi-tcp6 tcprules.c, rules.c (TCP-3..6 in shared/reference/qmail.md). Rules on host names
and on ident (`=host`, `info@ip`) are refused: neither is looked up here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from tubepost.errors import BadInput

_LINE = re.compile(r"(.*?):((?:allow|deny).*)")

VARIABLES = frozenset({"RELAYCLIENT", "RBLSMTPD", "DATABYTES", "SMTPRATES"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What the winning line says. `line` is it as written, "" for the default."""

    allow: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    line: str = ""

    @property
    def relays(self) -> bool:
        return self.allow and "RELAYCLIENT" in self.variables


_DEFAULT = Rule()


@dataclass(frozen=True, slots=True)
class Rules:
    """Parsed rules; `of` finds the one for an address.

    For each width that occurs, widest prefix first: the bits behind it, and the rules by the bits
    of the prefix. A look-up costs one step for each width, however many rules there are.
    """

    _by_width: tuple[tuple[int, Mapping[int, Rule]], ...] = ()

    def of(self, ip: str) -> Rule:
        """The most specific rule for a client address (IPv4, IPv6 or v4-mapped)."""
        if not self._by_width:
            return _DEFAULT
        number = int(as_ipv6(ip))
        for behind, rules in self._by_width:
            rule = rules.get(number >> behind)
            if rule is not None:
                return rule
        return _DEFAULT


def as_ipv6(ip: str) -> IPv6Address:
    """Every address as IPv6, IPv4 as v4-mapped: one kind to compare. ValueError if it is none."""
    number = ip_address(ip)
    return IPv6Address(f"::ffff:{number}") if isinstance(number, IPv4Address) else number


def parse(lines: Iterable[str]) -> Rules:
    """All the lines of a rules file. Raises BadInput, naming the line: then none of them counts."""
    found: dict[int, dict[int, Rule]] = {}
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            rule = _rule(text)
            for network in _networks(text):
                behind = 128 - network.prefixlen
                prefix = int(network.network_address) >> behind
                found.setdefault(behind, {}).setdefault(prefix, rule)
    return Rules(tuple(sorted(found.items())))


def _address_and_rest(text: str) -> tuple[str, str]:
    """Splits at the first `:allow` or `:deny`: IPv6 addresses hold colons themselves."""
    found = _LINE.fullmatch(text)
    if not found:
        raise BadInput(f"unable to parse this line: {text} (write ADDRESS:allow or ADDRESS:deny)")
    return found[1], found[2]


def _rule(text: str) -> Rule:
    _, rest = _address_and_rest(text)
    word = "allow" if rest.startswith("allow") else "deny"
    return Rule(word == "allow", _variables(rest[len(word) :], text), text)


def _variables(rest: str, line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    while rest:
        name, equals, value = rest[1:].partition("=")
        end = value.find(value[0], 1) if value else -1
        if rest[0] != "," or not equals or end < 0:
            raise BadInput(f'unable to parse this line: {line} (write ,NAME="value" after allow)')
        if name not in VARIABLES:
            raise BadInput(f"{name} in {line}: known variables are {', '.join(sorted(VARIABLES))}")
        found[name] = _checked(name, value[1:end], line)
        rest = value[end + 1 :]
    return found


def _checked(name: str, value: str, line: str) -> str:
    if name == "RELAYCLIENT" and value:
        raise BadInput(f'{line}: only RELAYCLIENT="" is supported, it is not appended to addresses')
    if name == "DATABYTES" and not value.isdecimal():
        raise BadInput(f"{line}: DATABYTES is a number of octets")
    if name == "SMTPRATES" and value != "off":
        raise BadInput(f'{line}: write SMTPRATES="off", or leave it out')
    if not ((value.isascii() and value.isprintable()) or not value):
        raise BadInput(f"{line}: a value is printable ASCII")
    return value


def _networks(text: str) -> list[IPv6Network]:
    address, _ = _address_and_rest(text)
    if address.startswith("=") or "@" in address:
        raise BadInput(f"{text}: rules on host names or ident are not supported, use an address")
    try:
        if "-" in address:
            return _range(address)
        return [_network(address)]
    except ValueError as error:
        raise BadInput(f"unable to parse this line: {text} ({error})") from error


def _range(address: str) -> list[IPv6Network]:
    """`10.0.0.1-22`, or `10.0.1-3.`: one network for each number."""
    dot = "." if address.endswith(".") else ""
    *head, last = address.removesuffix(".").split(".")
    low, _, high = last.partition("-")
    if not (last.isascii() and low.isdecimal() and high.isdecimal()):  # int() takes `1_0` and `+1`
        raise ValueError(f"{last} is not a range")
    if not int(low) <= int(high) <= 255:
        raise ValueError(f"{last} is not a range")
    return [_network(".".join([*head, str(n)]) + dot) for n in range(int(low), int(high) + 1)]


def _network(address: str) -> IPv6Network:
    if not address:
        return IPv6Network("::/0")
    if address.endswith(".") and "/" not in address:
        octets = address[:-1].split(".")
        width = 8 * len(octets)
        address = ".".join([*octets, *["0"] * (4 - len(octets))]) + f"/{width}"
    network = ip_network(address)
    if network.version == 4:
        return IPv6Network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return IPv6Network(str(network))
