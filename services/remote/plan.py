"""Where the mail of a destination goes and on which terms, as the control settings say. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from services.remote.loop_guard import NOBODY, Ourselves
from services.remote.terms import Source, Terms
from tubepost import remote_values, smtp_values, smtproutes, source_ips
from tubepost.control import Control
from tubepost.smtproutes import Relay
from tubepost.source_ips import SourceIps
from tubepost.tls_policy import OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class Plan:
    """`relays`: instead of the destination's MX hosts, in this order; none: its MX hosts.

    `us`: hosts that the mail must not be sent to, as it would come back.
    """

    relays: tuple[Relay, ...]
    terms: Terms
    us: Ourselves = NOBODY


Planner = Callable[[str], Plan]
"""The plan for a destination (a mail domain or an address literal), made anew for each mail."""


def planner(control: Control, own_ips: SourceIps = ()) -> Planner:
    """`own_ips`: the addresses of this process, for connections whose route names none."""

    def plan(destination: str) -> Plan:
        route = smtproutes.lookup(control.get(remote_values.SMTPROUTES), destination)
        source = Source(
            helo=route.helo or control.helohost,
            ips=source_ips.merged(route.source, own_ips, control.get(remote_values.OUTGOINGIP)),
        )
        terms = Terms(
            source=source,
            tls=route.tls or OPPORTUNISTIC,
            login=route.login,
            lmtp=route.lmtp,
            convert=control.get(remote_values.EIGHTBIT) == "convert",
            connect_seconds=control.get(remote_values.TIMEOUTCONNECT),
            reply_seconds=control.get(remote_values.TIMEOUTREMOTE),
        )
        return Plan(route.relays, terms, ourselves(control))

    return plan


def ourselves(control: Control) -> Ourselves:
    """The names and addresses that the settings say are ours."""
    return _ourselves(
        control.me,
        control.get(smtp_values.LOCALIPHOST),
        control.get(smtp_values.LOCALIPS),
        control.get(remote_values.MXNAMES),
    )


@lru_cache(maxsize=2)  # made once for settings that hardly ever change
def _ourselves(
    me: str,
    localiphost: str | None,
    localips: frozenset[IPv4Address | IPv6Address],
    mxnames: frozenset[str],
) -> Ourselves:
    names = {me.lower(), (localiphost or me).lower()}
    return Ourselves(frozenset(names | mxnames | {str(ip) for ip in localips}))
