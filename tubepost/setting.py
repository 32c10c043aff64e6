"""A control setting: its name, its default, and how an operator's lines are read. Pure.

The readers here are shared by the tables of settings (control_values, smtp_values); each raises
BadInput, and then the old value stays in force.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Generic, TypeVar

from tubepost.address import parse_address, parse_domain
from tubepost.errors import BadInput
from tubepost.tcprules import as_ipv6

T = TypeVar("T")
Lines = tuple[str, ...]


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One control file. `help` says what it does, with the unit."""

    name: str
    parse: Callable[[Lines], T]
    default: T
    help: str
    reader: str
    """The service that acts on it."""


def one_line(lines: Lines) -> str:
    if len(lines) != 1 or not lines[0].strip():
        raise BadInput("give exactly one value")
    if not lines[0].isascii() or not lines[0].isprintable():
        raise BadInput("give one line of printable ASCII")
    return lines[0].strip()


def domain(lines: Lines) -> str:
    """A host name."""
    return parse_domain(one_line(lines))


def number(low: int, high: int) -> Callable[[Lines], int]:
    def parse(lines: Lines) -> int:
        text = one_line(lines)
        if not text.isdecimal() or not low <= int(text) <= high:
            raise BadInput(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return parse


def one_of(*words: str) -> Callable[[Lines], str]:
    def parse(lines: Lines) -> str:
        word = one_line(lines).lower()
        if word not in words:
            raise BadInput(f"{word!r} is none of: {', '.join(words)}")
        return word

    return parse


def some_of(*words: str) -> Callable[[Lines], tuple[str, ...]]:
    """One or more, in the order given; on one line or on several."""

    def parse(lines: Lines) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(" ".join(lines).lower().split()))
        if not given or set(given) - set(words):
            raise BadInput(f"give one or more of: {', '.join(words)}")
        return given

    return parse


def mailbox(lines: Lines) -> str:
    text = one_line(lines)
    if "@" in text:
        return str(parse_address(text))
    return str(parse_address(f"{text}@localhost")).removesuffix("@localhost")


def host_patterns(lines: Lines) -> frozenset[str]:
    """rcpthosts: `host`, or `.host` for what is below it."""
    names = (line.strip().lower() for line in lines if line.strip())
    return frozenset(
        "." + parse_domain(name[1:]) if name.startswith(".") else parse_domain(name)
        for name in names
    )


def addresses(lines: Lines) -> frozenset[IPv4Address | IPv6Address]:
    """IP addresses, one a line."""
    try:
        return frozenset(ip_address(line.strip()) for line in lines if line.strip())
    except ValueError as error:
        raise BadInput(str(error)) from error


def networks(lines: Lines) -> tuple[IPv6Network, ...]:
    return tuple(_one_network(line.strip()) for line in lines if line.strip())


def _one_network(text: str) -> IPv6Network:
    base, slash, width = text.partition("/")
    try:
        address = as_ipv6(base)
        mapped = "." in base or address.ipv4_mapped is not None
        bits = int(width) + (96 if mapped and "." in base else 0) if slash else 128
        return IPv6Network((address, bits))
    except ValueError as error:
        raise BadInput(f"{text!r} is not an address or network: {error}") from error
