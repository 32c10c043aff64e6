"""`smtprates`: how much one client may do in a time. Pure.

An entry is `KIND:N/PERIOD`: `mails:100/h`, `errors:30/10m`. PERIOD is `s`, `m`, `h` or `d`, with a
number in front if wanted. One entry for each kind.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tubepost.address import printable
from tubepost.errors import BadInput

CONNECTIONS = "connections"
MAILS = "mails"
RECIPIENTS = "recipients"
ERRORS = "errors"
RELAYED = "relayed"
SUBMITTED = "submitted"
BADRCPT = "badrcpt"

KINDS = (CONNECTIONS, MAILS, RECIPIENTS, ERRORS, RELAYED, SUBMITTED, BADRCPT)

LONGEST = 7 * 86_400
MOST = 10_000_000

_ENTRY = re.compile(r"([a-z]+)\s*:\s*([1-9]\d{0,8})\s*/\s*([1-9]\d{0,5})?([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` in any `period` seconds."""

    most: int
    period: int


Limits = Mapping[str, Limit]
"""By kind. A kind that is not there has no limit, and is not counted."""


def parse(entries: Iterable[str]) -> Limits:
    """The limits in `entries`. Raises BadInput for the first entry that is wrong."""
    found: dict[str, Limit] = {}
    for entry in entries:
        if not entry.strip():
            continue
        kind, limit = _parse_entry(entry.strip())
        if kind in found:
            raise BadInput(f"{kind} stands there twice; it has one limit")
        found[kind] = limit
    return found


def _parse_entry(text: str) -> tuple[str, Limit]:
    match = _ENTRY.fullmatch(text)
    if not match:
        raise BadInput(f"{printable(text)!r}: write KIND:N/PERIOD, such as mails:100/h")
    kind, most, number, unit = match.groups()
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a kind of rate; known: {' '.join(KINDS)}")
    limit = Limit(int(most), int(number or 1) * _SECONDS[unit])
    if limit.most > MOST or limit.period > LONGEST:
        raise BadInput(f"{printable(text)!r}: {MOST} in 7 days at most")
    return kind, limit
