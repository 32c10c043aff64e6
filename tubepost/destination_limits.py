"""`destinations`: how many deliveries at once, and how many a second, a remote domain gets. Pure.

An entry is `domain:concurrency[:rate]`. `domain` may be `.suffix` (every host below it) or empty
(every other domain), as in smtproutes; `rate` is `N/s`, `N/m` or `N/h`. One that begins with `mx `
names mail hosts instead: all domains whose best MX host it names share that limit, beside
their own.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tubepost import domain_table
from tubepost.address import printable
from tubepost.domain_table import name_for, parse_name
from tubepost.errors import BadInput

MOST = 10_000
"""The highest concurrency, as for a channel."""

MOST_A_SECOND = 10_000

_RATE = re.compile(r"([1-9]\d{0,8})/([smh])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Limit:
    """`concurrency`: deliveries at once. `rate`: deliveries a second, None = as many as there are.

    A delivery is one unit of a mail: its recipients at that domain, 50 at most.
    """

    concurrency: int
    rate: float | None = None


Table = Mapping[str, Limit]
"""By domain, `.suffix` or "" for the default; what is for mail hosts has `mx ` before its name."""

MX = "mx "

DEFAULT = Limit(20)


def parse(entries: Iterable[str]) -> Table:
    """The limits in `entries`, one each. Raises BadInput for the first entry that is wrong."""
    return domain_table.parse(entries, _parse_entry, "destinations", "limits")


def lookup(table: Table, domain: str) -> Limit:
    """The limit of a mail domain: its exact name, then suffixes, then the default."""
    name = name_for(table, domain)
    return DEFAULT if name is None else table[name]


def shared(table: Table) -> Table:
    """The limits that domains share, by mail host or `.suffix`."""
    return {name.removeprefix(MX): limit for name, limit in table.items() if name.startswith(MX)}


def site_of(limits: Table, hosts: Iterable[str]) -> str | None:
    """Under which name of `shared` a domain with these best mail hosts stands; None = none.

    Where they stand under several the first host counts, in the order of the alphabet.
    """
    found = (name_for(limits, host) for host in sorted(hosts))
    return next((name for name in found if name is not None), None)


def _parse_entry(text: str) -> tuple[str, Limit]:
    try:
        kind, _, rest = text.partition(" ")
        if kind.lower() != MX.strip():
            return _parse_limit(text)
        name, limit = _parse_limit(rest.strip())
    except BadInput as error:
        raise BadInput(f"destinations: {printable(text)!r}: {error}") from error
    if not name:
        raise BadInput(f"destinations: {printable(text)!r}: name a mail host, or a .suffix")
    return MX + name, limit


def _parse_limit(text: str) -> tuple[str, Limit]:
    end = text.find("]") + 1 if text.startswith("[") else 0  # an address literal has colons
    first, *numbers = (part.strip() for part in text[end:].split(":"))
    domain = text[:end] + first
    if len(numbers) not in (1, 2):
        raise BadInput("write domain:concurrency or domain:concurrency:rate")
    rate = _parse_rate(numbers[1]) if len(numbers) == 2 else None
    return parse_name(domain), Limit(_parse_concurrency(numbers[0]), rate)


def _parse_concurrency(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= MOST:
        return int(text)
    raise BadInput(f"{printable(text)!r} is not a number of deliveries at once, from 1 to {MOST}")


def _parse_rate(text: str) -> float:
    found = _RATE.fullmatch(text)
    if found:
        rate = int(found[1]) / _SECONDS[found[2]]
        if rate <= MOST_A_SECOND:
            return rate
    raise BadInput(
        f"{printable(text)!r} is not a rate; write N/s, N/m or N/h, {MOST_A_SECOND}/s at most"
    )
