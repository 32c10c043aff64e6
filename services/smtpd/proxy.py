"""The PROXY protocol, versions 1 and 2: what a load balancer says before its client speaks. Pure.

Specification: HAProxy, doc/proxy-protocol.txt, sections 2.1 (text), 2.2 (binary). Only the client's
address is taken; the destination, ports and the additions behind a binary header (TLVs) are not
looked at. Whether the peer may be believed is not decided here.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from tubepost.errors import BadInput

TEXT = b"PROXY "
BINARY = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST_TEXT = 107
LONGEST = 4096
"""Octets of a header; a binary one could have 65,551, for additions that nobody here wants."""

Address: TypeAlias = IPv4Address | IPv6Address

_WORDS: dict[bytes, type[Address]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
_FAMILIES: dict[int, tuple[int, type[Address], int]] = {
    0x11: (12, IPv4Address, 4),
    0x21: (36, IPv6Address, 16),
}
"""Family and transport -> (octets of the addresses, type, octets of one): TCP only (2.2)."""


@dataclass(frozen=True, slots=True)
class Header:
    """`client`: whom the proxy speaks for, "" = for itself (LOCAL, UNKNOWN). `length`: octets."""

    client: str
    length: int


def begins(octets: bytes) -> bool:
    """Whether this is, or may become, a header."""
    return any(octets[: len(form)] == form[: len(octets)] for form in (TEXT, BINARY))


def parse(octets: bytes) -> Header | None:
    """The header that `octets` begin with; None: more is needed. Raises BadInput: there is none."""
    if not begins(octets):
        raise BadInput("no PROXY header")
    if octets[:1] == TEXT[:1]:
        return _text(octets)
    return _binary(octets)


def _text(octets: bytes) -> Header | None:
    end = octets.find(b"\r\n", 0, LONGEST_TEXT)
    if end < 0:
        if len(octets) >= LONGEST_TEXT:
            raise BadInput("a line that does not end")
        return None
    words = octets[len(TEXT) : end].split(b" ")
    if words[0] == b"UNKNOWN":
        return Header("", end + 2)  # what stands behind it does not count (2.1)
    return Header(_client(words), end + 2)


def _client(words: list[bytes]) -> str:
    """TCP4 or TCP6, source, destination, and two ports."""
    family = _WORDS.get(words[0])
    if family is None or len(words) != 5:
        raise BadInput("not five words after PROXY")
    if not all(_is_port(word) for word in words[3:]):
        raise BadInput("not a port")
    try:
        source, _ = (family(word.decode("ascii")) for word in words[1:3])
    except ValueError as error:
        raise BadInput(f"not an address: {error}") from error
    return _plain(source)


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 5 and int(word) <= 65_535


def _plain(address: Address) -> str:
    """One spelling; v4-mapped is IPv4, and a zone, which is of another host, is refused."""
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise BadInput("an address with a zone")
        return str(address.ipv4_mapped or address)
    return str(address)


def _binary(octets: bytes) -> Header | None:
    if len(octets) < 16:
        return None
    command, family = octets[12], octets[13]
    length = 16 + int.from_bytes(octets[14:16], "big")
    if command not in (0x20, 0x21):
        raise BadInput("not version 2, or an unknown command")
    if length > LONGEST:
        raise BadInput(f"a header of {length} octets")
    if len(octets) < length:
        return None
    if command == 0x20 or family == 0x00:  # LOCAL, and PROXY for a family it does not tell
        return Header("", length)
    return Header(_source(family, octets[16:length]), length)


def _source(family: int, addresses: bytes) -> str:
    if family not in _FAMILIES:
        raise BadInput("neither TCP over IPv4 nor over IPv6")
    need, kind, size = _FAMILIES[family]
    if len(addresses) < need:
        raise BadInput("addresses are cut off")
    return _plain(kind(addresses[:size]))
