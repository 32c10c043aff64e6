"""Whether a host that mail is to go to is this system itself (RFC 5321 5.1, qmail's ipme). Pure.

A process in a cluster does not know the addresses the world reaches it by: settings name them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from tubepost.domain_table import name_for

NOWHERE = float("inf")


@dataclass(frozen=True, slots=True)
class Ourselves:
    """`known`: our host names and IPs; `.name` is every host below it.

    `loopback`: the addresses that lead a machine to itself are ours too.
    """

    known: frozenset[str] = field(default_factory=frozenset)
    loopback: bool = True

    def __contains__(self, host: str | None) -> bool:
        """Whether a name or an IP is ours."""
        if not host:
            return False
        ip = _ip(host)
        if ip is None:
            return bool(name_for(self.known, host))
        return host in self.known or (self.loopback and (ip.is_loopback or ip.is_unspecified))


NOBODY = Ourselves(loopback=False)


def own_preference(candidates: Iterable[tuple[int, str]], us: Ourselves) -> float:
    """The best preference that a name or IP of ours has, NOWHERE where none is ours.

    Only what is strictly better may be tried: else the mail would come back.
    """
    return min((preference for preference, host in candidates if host in us), default=NOWHERE)


@lru_cache(4096)  # each mail asks about the hosts of its destination: the same ones again
def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
