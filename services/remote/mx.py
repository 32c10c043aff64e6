"""Which hosts take the mail of a domain, and in which order.

It opens no connection to them, and never says Failed for what may be the name servers' fault.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from random import Random
from typing import Protocol

from services.remote.host_order import alternating, in_order
from services.remote.loop_guard import NOBODY, NOWHERE, Ourselves, own_preference
from tubepost import idn
from tubepost.dns_client import Answer, DnsClient, NoSuchName, Trouble, exchangers
from tubepost.outcome import Deferred, Failed

MAX_EXCHANGERS = 16
"""MX hosts of one domain that are looked up; a hostile zone may list thousands."""
TROUBLE_SECONDS = 5.0
"""So long a look-up that failed is not made again: a domain may have ten thousand mails."""

FAMILIES = {"4": "A", "6": "AAAA"}
"""The kind of record that has the addresses of a family."""


@dataclass(frozen=True, slots=True)
class Host:
    """One address to connect to. `name`: the host it belongs to, or the IP itself.

    Hosts of one `preference` are as good as each other; a lower one comes first (RFC 5321 5.1).
    """

    name: str
    ip: str
    port: int = 25
    preference: int = 0


Found = Sequence[Host] | Deferred | Failed
"""Hosts in the order they are tried, at least one; or why there is none."""


class Resolver(Protocol):
    """What a delivery needs to know from DNS."""

    async def mail_hosts(self, domain: str, us: Ourselves = NOBODY) -> Found:
        """The hosts of a mail domain (RFC 5321 5.1) or of an address literal.

        Where one of them is `us`, those that are strictly better.
        """
        ...

    async def addresses(self, name: str) -> Found:
        """The addresses of one host by its A and AAAA records only. An IP is its own address."""
        ...


def no_such_host(name: str) -> Failed:
    text = f"Sorry, I couldn't find any host named {name}. (#5.1.2)"
    return Failed(text=text, status="5.1.2")


def no_exchanger() -> Failed:
    text = "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)"
    return Failed(text=text, status="5.4.4")


def null_mx(domain: str) -> Failed:
    text = f"Sorry, {domain} says that it takes no mail: its MX record is null. (#5.1.10)"
    return Failed(text=text, status="5.1.10")


def only_ourselves() -> Failed:
    """The words of qmail-remote (RMT-4)."""
    text = (
        "Sorry. Although I'm listed as a best-preference MX or A for that host, it isn't in my "
        "control/locals file, so I don't treat it as local. (#5.4.6)"
    )
    return Failed(text=text, status="5.4.6")


def family_left_out(families: Sequence[str]) -> Deferred:
    """A setting of ours is never a reason for a bounce."""
    text = (
        f"Sorry, that host has no IPv{families[0]} address, and ipfamilies leaves out what it has. "
        "(#4.4.4)"
    )
    return Deferred(text=text, status="4.4.4")


def literal_address(text: str) -> str | None:
    """The IP in `192.0.2.1`, `[192.0.2.1]`, `2001:db8::1` or `[IPv6:2001:db8::1]`, else None."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare[:5].lower() == "ipv6:":
        bare = bare[5:]
    try:
        return _plain(bare)
    except ValueError:
        return None


class DnsResolver:
    """Asks `nameservers` (IPs), or those of /etc/resolv.conf, for up to `seconds` a look-up.

    `families`: those of FAMILIES that are used now, the one that comes first in front.
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        port: int = 53,
        seconds: float = 20.0,
        families: Callable[[], Sequence[str]] = lambda: tuple(FAMILIES),
        rng: Random | None = None,
    ) -> None:
        self._dns = DnsClient(
            nameservers, port=port, seconds=seconds, trouble_seconds=TROUBLE_SECONDS
        )
        self._families = families
        self._rng = rng or Random()  # noqa: S311 - it spreads load, it guards nothing

    async def mail_hosts(self, domain: str, us: Ourselves = NOBODY) -> Found:
        """As in Resolver. Without an MX record the domain's own addresses are taken."""
        if domain.startswith("["):
            return only_ourselves() if literal_address(domain) in us else _literal_hosts(domain)
        name = _a_labels(domain)
        answer = await self._dns.records(name, "MX")
        if isinstance(answer, Trouble):
            return _lookup_failed(name, "MX", answer)
        if isinstance(answer, NoSuchName):  # some zones say so and have an address: RMT-2
            found = await self._of([(0, name)], us)
            return no_such_host(name) if found == no_exchanger() else found
        offered = exchangers(answer) or [(0, name)]
        return await self._of(offered, us) if any(n for _, n in offered) else null_mx(domain)

    async def addresses(self, name: str) -> Found:
        """As in Resolver."""
        return _literal_hosts(name) if literal_address(name) else await self._of([(0, name)])

    async def _of(self, offered: Sequence[tuple[int, str]], us: Ourselves = NOBODY) -> Found:
        """The addresses of MX hosts, of those that are better than `us`."""
        own = own_preference(offered, us)
        better = [(preference, name) for preference, name in offered if name and preference < own]
        ordered = in_order(better, self._rng.random)[:MAX_EXCHANGERS]
        families = self._families()
        hosts, problems = await self._look_up(ordered, families)
        own = min(own, own_preference(((host.preference, host.ip) for host in hosts), us))
        usable = [host for host in hosts if host.preference < own]
        if usable:
            return alternating(usable, families)
        soft = next((p for p in problems if isinstance(p, Deferred)), None)
        soft = soft or await self._left_out([e for e in ordered if e[0] < own], families)
        return soft or (no_exchanger() if own == NOWHERE else only_ourselves())

    async def _look_up(
        self, exchangers: Sequence[tuple[int, str]], families: Sequence[str]
    ) -> tuple[list[Host], list[Deferred | Failed]]:
        """Their addresses, each once, and what went wrong. A name may have none."""
        questions = [(name, FAMILIES[family]) for _, name in exchangers for family in families]
        answers = await self._answers(questions)
        preferences = {name: preference for preference, name in exchangers}
        hosts: dict[str, Host] = {}
        problems: list[Deferred | Failed] = []
        for (name, kind), answer in zip(questions, answers, strict=True):
            if isinstance(answer, NoSuchName | Trouble):
                problems.append(_problem(name, kind, answer))
                continue
            for record in answer:
                ip = _plain(record.to_text())
                hosts.setdefault(ip, Host(name, ip, preference=preferences[name]))
        return list(hosts.values()), problems

    async def _answers(self, questions: Sequence[tuple[str, str]]) -> Sequence[Answer]:
        """All at once; without a task for each where they are known, as for most mails."""
        kept = [
            answer for question in questions if (answer := self._dns.kept(*question)) is not None
        ]
        if len(kept) == len(questions):
            return kept
        return await asyncio.gather(*(self._dns.records(*question) for question in questions))

    async def _left_out(
        self, exchangers: Sequence[tuple[int, str]], families: Sequence[str]
    ) -> Deferred | None:
        """Why hosts without an address of `families` are no reason for a bounce.

        They have others, or nobody knows. None: they have no address at all.
        """
        others = [family for family in FAMILIES if family not in families]
        if not others:
            return None
        hosts, problems = await self._look_up(exchangers, others)
        if hosts:
            return family_left_out(families)
        return next((p for p in problems if isinstance(p, Deferred)), None)


def _problem(name: str, kind: str, answer: NoSuchName | Trouble) -> Deferred | Failed:
    return (
        no_such_host(name) if isinstance(answer, NoSuchName) else _lookup_failed(name, kind, answer)
    )


def _lookup_failed(name: str, kind: str, trouble: Trouble) -> Deferred:
    text = (
        "Sorry, I couldn't find any host by that name. (#4.1.2)"
        f"/{kind} lookup of {name} failed temporarily ({trouble.why})."
    )
    return Deferred(text=text, status="4.1.2")


def _a_labels(domain: str) -> str:
    """As DNS has it; what cannot be a domain stays as it is, and DNS does not know it."""
    try:
        return domain if domain.isascii() else idn.a_labels(domain)
    except idn.DomainError:
        return domain


@lru_cache(4096)  # each mail asks about the hosts of its destination: the same ones again
def _plain(text: str) -> str:
    """An IP in one writing: `::ffff:192.0.2.1` is an IPv4 address. Raises ValueError."""
    ip = ip_address(text)
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _literal_hosts(text: str) -> Found:
    ip = literal_address(text)
    return [Host(ip, ip)] if ip else no_such_host(text)
