"""DNS lists of clients: which names to ask for, and what the answers mean (RFC 5782). Pure.

A line is `base`, `-r base` (who is on it is refused) or `-a base` (who is on it is let in), in the
order in which they count, as rblsmtpd's options (RBL-2). Behind the base may stand `=` and the
answers that count (`=127.0.0.2,127.0.0.4-11`), then `:` and a text for the client, with %IP%.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, ip_address

from tubepost.address import parse_domain, printable
from tubepost.errors import BadInput
from tubepost.setting import Lines

MAX_LISTS = 32
MAX_TEXT = 200
"""Octets of a list's text that the client sees (RBL-4)."""

_LISTS_SAY = range(int(IPv4Address("127.0.0.0")), int(IPv4Address("127.255.255.0")))
"""127/8 without 127.255.255: what stands there is an error of the asker's or of the list."""


@dataclass(frozen=True, slots=True)
class DnsList:
    """One line. `answers`: the A records that count, as ranges of numbers; none = all."""

    base: str
    allows: bool = False
    answers: tuple[range, ...] = ()
    text: str = ""


Lists = tuple[DnsList, ...]


class Found(Enum):
    """What a list says of a client. FAILED: nothing that can be relied on."""

    LISTED = "listed"
    CLEAR = "clear"
    FAILED = "failed"


def parse(lines: Lines) -> Lists:
    """The setting `rbl`. Raises BadInput."""
    lists = tuple(_line(line.strip()) for line in lines if line.strip())
    if len(lists) > MAX_LISTS:
        raise BadInput(f"at most {MAX_LISTS} lists")
    return lists


def _line(line: str) -> DnsList:
    option, rest = (line[:2], line[2:].strip()) if line.startswith("-") else ("-r", line)
    if option not in ("-r", "-a"):
        raise BadInput(f"{printable(line)!r} begins with neither -r nor -a")
    head, _, text = rest.partition(":")
    base, equals, answers = head.partition("=")
    if not text.isascii() or not (text.isprintable() or not text):
        raise BadInput("the text for a client is printable ASCII")
    ranges = tuple(_range(part) for part in answers.split(",")) if equals else ()
    return DnsList(parse_domain(base.strip()), option == "-a", ranges, text.strip())


def _range(text: str) -> range:
    """`127.0.0.2`, or `127.0.0.4-11`: a range in the last part."""
    first, _, last = text.strip().partition("-")
    try:
        low = IPv4Address(first)
        high = IPv4Address(f"{first.rpartition('.')[0]}.{last}") if last else low
    except ValueError as error:
        raise BadInput(f"{printable(text)!r} is no answer of a list: {error}") from error
    found = range(int(low), int(high) + 1)
    if not found or low.packed[0] != 127:
        raise BadInput(f"{printable(text)!r} is no answer of a list: 127.0.0.2, 127.0.0.4-11")
    return found


def question(ip: str, base: str) -> str:
    """`2.2.0.192.base`; an IPv6 address by its nibbles (RFC 5782 2.4)."""
    address = ip_address(ip.partition("%")[0])  # a link-local one may name its interface
    parts = ip.split(".") if address.version == 4 else address.exploded.replace(":", "")
    return ".".join(reversed(parts)) + "." + base


def meaning(dns_list: DnsList, records: Iterable[str]) -> Found:
    """What the A records of the question say."""
    numbers = [int(IPv4Address(record)) for record in records]
    if not numbers:
        return Found.CLEAR
    said = [number for number in numbers if number in _LISTS_SAY]
    if not said:
        return Found.FAILED
    counts = not dns_list.answers or any(n in r for n in said for r in dns_list.answers)
    return Found.LISTED if counts else Found.CLEAR


def text_for(dns_list: DnsList, ip: str, texts: Sequence[str]) -> str:
    """What the client is told: the line's own text, else the list's, else which list it is."""
    own = dns_list.text.replace("%IP%", ip)
    found = own or (texts[0] if texts else "") or f"{ip} is listed by {dns_list.base}"
    return printable(found, MAX_TEXT)
