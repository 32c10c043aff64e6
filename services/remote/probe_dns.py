"""What name servers say about a destination, question by question, for an operator to read.

Only to be shown: the hosts that are tried come from the courier, which asks by itself.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.remote.mx import MAX_EXCHANGERS, literal_address
from tubepost.dns_client import Answer, NoSuchName, Trouble, exchangers

NO_SUCH_NAME = "no such name"

MOST = 20
"""Records that are shown of one answer."""


class Dns(Protocol):
    """As tubepost.dns_client.DnsClient."""

    async def records(self, name: str, kind: str) -> Answer:
        """The records of one kind, or why there are none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """`records` as a zone has them, none where the name has other kinds only. `trouble`: why there
    is no answer, or that there is no such name."""

    name: str
    kind: str
    records: tuple[str, ...] = ()
    trouble: str = ""
    seconds: float = 0.0


async def lookups(dns: Dns, relays: Sequence[str], domain: str) -> list[Lookup]:
    """The addresses of `relays`, where there are any; else MX records and the addresses they lead
    to. A literal needs no question."""
    if relays or domain.startswith("["):
        return await _addresses(dns, relays)
    answer, shown = await _asked(dns, domain, "MX")
    if isinstance(answer, NoSuchName | Trouble):
        return [shown]
    names = [name for _, name in sorted(exchangers(answer)) if name]
    return [shown, *await _addresses(dns, names if answer else [domain])]


async def _addresses(dns: Dns, names: Sequence[str]) -> list[Lookup]:
    wanted = [n for n in dict.fromkeys(names) if literal_address(n) is None][:MAX_EXCHANGERS]
    asked = (_asked(dns, name, kind) for name in wanted for kind in ("A", "AAAA"))
    return [shown for _, shown in await asyncio.gather(*asked)]


async def _asked(dns: Dns, name: str, kind: str) -> tuple[Answer, Lookup]:
    began = time.monotonic()
    answer = await dns.records(name, kind)
    seconds = time.monotonic() - began
    if isinstance(answer, NoSuchName):
        return answer, Lookup(name=name, kind=kind, trouble=NO_SUCH_NAME, seconds=seconds)
    if isinstance(answer, Trouble):
        return answer, Lookup(name=name, kind=kind, trouble=answer.why, seconds=seconds)
    records = tuple(sorted(record.to_text() for record in answer)[:MOST])
    return answer, Lookup(name=name, kind=kind, records=records, seconds=seconds)
