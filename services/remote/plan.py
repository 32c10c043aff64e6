"""Where the mail of a destination goes and on which terms, as the control settings say. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from services.remote.terms import Source, Terms
from tubepost import remote_values, smtproutes, tls_policy
from tubepost.control import Control
from tubepost.smtproutes import Relay, Route
from tubepost.tls_policy import VERIFIED, Level, TlsPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """`relays`: instead of the destination's MX hosts, in this order; none: its MX hosts."""

    relays: tuple[Relay, ...]
    terms: Terms


Planner = Callable[[str], Plan]
"""The plan for a destination (a mail domain or an address literal), made anew for each mail."""


PolicyFor = Callable[[str], TlsPolicy]
"""The TLS policy for a destination whose route has none of its own."""


def planner(
    control: Control,
    source_ip: str = "",
    *,
    policy_for: PolicyFor | None = None,
    ca_file: str = "",
) -> Planner:
    """`source_ip`: where connections come from that no setting names an address for.

    `policy_for`: by default the table `tlspolicy`.
    """
    of_table = policy_for or table_policy(control)

    def plan(destination: str) -> Plan:
        route = smtproutes.lookup(control.get(remote_values.SMTPROUTES), destination)
        source = Source(
            helo=route.helo or control.helohost,
            ips=route.source or ((source_ip,) if source_ip else ()),
        )
        terms = Terms(
            source=source,
            tls=_tls(route, destination, of_table),
            login=route.login,
            lmtp=route.lmtp,
            ca_file=ca_file,
            connect_seconds=control.get(remote_values.TIMEOUTCONNECT),
            reply_seconds=control.get(remote_values.TIMEOUTREMOTE),
        )
        return Plan(route.relays, terms)

    return plan


def table_policy(control: Control) -> PolicyFor:
    return lambda domain: tls_policy.lookup(control.get(remote_values.TLSPOLICY), domain)


def _tls(route: Route, destination: str, policy_for: PolicyFor) -> TlsPolicy:
    """The route's own; with a login no less than a verified host, unless the route says so."""
    policy = route.tls or (VERIFIED if route.login else policy_for(destination))
    if policy.level is not Level.VERIFY or policy.names or route.relays or destination[:1] == "[":
        return policy  # without names it is the host's own: an operator, or the sender, wrote it
    return replace(policy, names=(destination.lower(), "." + destination.lower()))
