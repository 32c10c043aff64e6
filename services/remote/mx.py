"""Which hosts take the mail of a domain, and in which order.

It opens no connection to them, and never says Failed for what may be the name servers' fault.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Protocol

from dns.rdata import Rdata

from tubepost.dns_client import DnsClient, NoSuchName, Trouble, exchangers
from tubepost.outcome import Deferred, Failed

MAX_EXCHANGERS = 16
"""MX hosts of one domain that are looked up; a hostile zone may list thousands."""


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

    async def mail_hosts(self, domain: str) -> Found:
        """The hosts of a mail domain (RFC 5321 5.1) or of an address literal."""
        ...

    async def addresses(self, name: str) -> Found:
        """The addresses of one host by its A and AAAA records only. An IP is its own address."""
        ...


def in_order(exchangers: Iterable[tuple[int, str]], rng: Random) -> list[str]:
    """MX hosts of (preference, name): the lowest preference first, equal ones shuffled by `rng`."""
    drawn = [(preference, rng.random(), name) for preference, name in exchangers]
    return list(dict.fromkeys(name for _, _, name in sorted(drawn)))


def no_such_host(name: str) -> Failed:
    text = f"Sorry, I couldn't find any host named {name}. (#5.1.2)"
    return Failed(text=text, status="5.1.2")


def no_exchanger() -> Failed:
    text = "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)"
    return Failed(text=text, status="5.4.4")


def null_mx(domain: str) -> Failed:
    text = f"Sorry, {domain} says that it takes no mail: its MX record is null. (#5.1.10)"
    return Failed(text=text, status="5.1.10")


def literal_address(text: str) -> str | None:
    """The IP in `192.0.2.1`, `[192.0.2.1]`, `2001:db8::1` or `[IPv6:2001:db8::1]`, else None."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare[:5].lower() == "ipv6:":
        bare = bare[5:]
    try:
        return str(ip_address(bare))
    except ValueError:
        return None


class DnsResolver:
    """Asks `nameservers` (IPs), or those of /etc/resolv.conf, for up to `seconds` a look-up."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        port: int = 53,
        seconds: float = 20.0,
        rng: Random | None = None,
    ) -> None:
        self._dns = DnsClient(nameservers, port=port, seconds=seconds)
        self._rng = rng or Random()  # noqa: S311 - it spreads load, it guards nothing

    async def mail_hosts(self, domain: str) -> Found:
        """As in Resolver. Without an MX record the domain's own addresses are taken."""
        if domain.startswith("["):
            return _literal_hosts(domain)
        answer = await self._records(domain, "MX")
        if isinstance(answer, Deferred | Failed):
            return answer
        found = exchangers(answer)
        if not found:
            return await self.addresses(domain)
        names = [name for name in in_order(found, self._rng) if name]
        return await self._hosts(names) if names else null_mx(domain)

    async def addresses(self, name: str) -> Found:
        """As in Resolver."""
        return _literal_hosts(name) if literal_address(name) else await self._hosts([name])

    async def _hosts(self, names: Sequence[str]) -> Found:
        """Addresses of all `names`. A name without any is passed over while another has one."""
        looked_up = await asyncio.gather(*(self._of_host(n) for n in names[:MAX_EXCHANGERS]))
        hosts: dict[str, Host] = {}
        problems: list[Deferred | Failed] = []
        for found, trouble in looked_up:
            problems += trouble
            for host in found:
                hosts.setdefault(host.ip, host)
        if hosts:
            return list(hosts.values())
        return _why_none(problems)

    async def _of_host(self, name: str) -> tuple[list[Host], list[Deferred | Failed]]:
        """The IPv4 and IPv6 addresses of a host, IPv4 first, and what went wrong."""
        answers = await asyncio.gather(*(self._records(name, kind) for kind in ("A", "AAAA")))
        hosts: list[Host] = []
        problems: list[Deferred | Failed] = []
        for answer in answers:
            if isinstance(answer, Deferred | Failed):
                problems.append(answer)
            else:
                hosts += [Host(name, record.to_text()) for record in answer]
        return hosts, problems

    async def _records(self, name: str, kind: str) -> Sequence[Rdata] | Deferred | Failed:
        """The records of one kind, none if the name has other kinds only."""
        answer = await self._dns.records(name, kind)
        if isinstance(answer, NoSuchName):
            return no_such_host(name)
        return _lookup_failed(name, kind, answer) if isinstance(answer, Trouble) else answer


def _why_none(problems: Sequence[Deferred | Failed]) -> Deferred | Failed:
    """Why there is no address at all: temporary if any look-up failed temporarily."""
    return next((p for p in problems if isinstance(p, Deferred)), no_exchanger())


def _lookup_failed(name: str, kind: str, trouble: Trouble) -> Deferred:
    text = f"{kind} lookup of {name} failed temporarily ({trouble.why}). (#4.4.3)"
    return Deferred(text=text, status="4.4.3")


def _literal_hosts(text: str) -> Found:
    ip = literal_address(text)
    return [Host(ip, ip)] if ip else no_such_host(text)
