"""Where the mail of a destination goes and on which terms, as the control settings say. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from services.remote.terms import Source, Terms
from tubepost import remote_values, smtproutes
from tubepost.control import Control
from tubepost.smtproutes import Relay
from tubepost.tls_policy import OPPORTUNISTIC


@dataclass(frozen=True, slots=True)
class Plan:
    """`relays`: instead of the destination's MX hosts, in this order; none: its MX hosts."""

    relays: tuple[Relay, ...]
    terms: Terms


Planner = Callable[[str], Plan]
"""The plan for a destination (a mail domain or an address literal), made anew for each mail."""


def planner(control: Control, source_ip: str = "") -> Planner:
    """`source_ip`: where connections come from that no setting names an address for."""

    def plan(destination: str) -> Plan:
        route = smtproutes.lookup(control.get(remote_values.SMTPROUTES), destination)
        source = Source(
            helo=route.helo or control.helohost,
            ips=route.source or ((source_ip,) if source_ip else ()),
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
        return Plan(route.relays, terms)

    return plan
