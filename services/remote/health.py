"""Which hosts are not worth a connection now, because one failed a moment ago (qmail's tcpto).

What counts is what any mail would meet: no connection, a greeting that is no welcome, or none. Not
a fault of ours, nor TLS that a domain's policy wants and the host has not, nor a refused login:
other domains, and other logins, may fare better with the same host.
"""

from collections.abc import Iterable
from typing import Protocol

from services.remote.mx import Host


class Health(Protocol):
    """What is known of hosts. It is asked and told before and after each connection: no waiting."""

    def why_not(self, host: Host) -> str:
        """Why `host` is passed over now, "" where it is not. Changes nothing."""
        ...

    def tries(self, host: Host) -> None:
        """A mail goes there now: behind a back-off others wait for what it meets."""
        ...

    def opens(self, host: Host) -> float:
        """When `host` may be tried, seconds since 1970; 0 = now. Changes nothing."""
        ...

    def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
        """It refused the connection, did not answer, or its greeting was no welcome.

        `connected`: it took the connection at least.
        """
        ...

    def answered(self, host: Host) -> None:
        """It greeted us."""
        ...


class Unknown:
    """A Health that knows nothing."""

    def why_not(self, host: Host) -> str:
        """See Health."""
        return ""

    def tries(self, host: Host) -> None:
        """See Health."""

    def opens(self, host: Host) -> float:
        """See Health."""
        return 0.0

    def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
        """See Health."""

    def answered(self, host: Host) -> None:
        """See Health."""


def all_wait_until(health: Health, hosts: Iterable[Host]) -> float:
    """The first instant at which one of `hosts` may be tried; 0 = one may now."""
    return min((health.opens(host) for host in hosts), default=0.0)
