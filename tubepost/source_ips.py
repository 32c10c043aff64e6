"""The addresses that connections come from: at most one of each family. Pure."""

from collections.abc import Iterable
from ipaddress import ip_address

from tubepost.address import printable
from tubepost.errors import BadInput

SourceIps = tuple[str, ...]
"""In the standard writing. The kernel chooses for a family that has none here."""


def parse(texts: Iterable[str]) -> SourceIps:
    """Blank ones are passed over. Raises BadInput."""
    ips = tuple(_ip(text.strip()) for text in texts if text.strip())
    if len({":" in ip for ip in ips}) < len(ips):
        raise BadInput("give one IPv4 address, one IPv6 address, or one of each")
    return ips


def merged(*choices: SourceIps) -> SourceIps:
    """For each family the address that comes first."""
    found: dict[bool, str] = {}
    for ips in choices:
        for ip in ips:
            found.setdefault(":" in ip, ip)
    return tuple(found.values())


def _ip(text: str) -> str:
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        raise BadInput(f"{printable(text)!r} is not an IP address") from error
