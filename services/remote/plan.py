"""Where the mail of a destination goes and on which terms, as the control settings say. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from services.remote.loop_guard import NOBODY, Ourselves
from services.remote.terms import Source, Terms
from tubepost import remote_values, smtp_values, smtproutes, source_ips, tls_policy
from tubepost.control import Control
from tubepost.smtproutes import Relay, Route
from tubepost.source_ips import SourceIps
from tubepost.tls_policy import VERIFIED, Level, TlsPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """`relays`: instead of the destination's MX hosts, in this order; none: its MX hosts.

    `us`: hosts that the mail must not be sent to, as it would come back. `unreadable`: the setting
    for want of which nobody knows where the mail goes, or how secure it has to be; "" = none.
    """

    relays: tuple[Relay, ...]
    terms: Terms
    us: Ourselves = NOBODY
    unreadable: str = ""


Planner = Callable[[str], Plan]
"""The plan for a destination (a mail domain or an address literal), by the settings of now."""

REMEMBERED = 1000
"""Destinations whose plans are kept until a setting changes: a mail then only looks its own up."""


PolicyFor = Callable[[str], TlsPolicy]
"""The TLS policy for a destination whose route has none of its own."""


def planner(
    control: Control,
    own_ips: SourceIps = (),
    *,
    policy_for: PolicyFor | None = None,
    ca_file: str = "",
) -> Planner:
    """`own_ips`: the addresses of this process, for connections whose route names none.

    `policy_for`: by default the table `tlspolicy`.
    """
    of_table = policy_for or table_policy(control)

    def plan(destination: str) -> Plan:
        route = smtproutes.lookup(control.get(remote_values.SMTPROUTES), destination)
        source = Source(
            helo=route.helo or control.helohost,
            ips=source_ips.merged(route.source, own_ips, control.get(remote_values.OUTGOINGIP)),
        )
        terms = Terms(
            source=source,
            tls=_tls(route, destination, of_table),
            login=route.login,
            lmtp=route.lmtp,
            convert=control.get(remote_values.EIGHTBIT) == "convert",
            ca_file=ca_file,
            connect_seconds=control.get(remote_values.TIMEOUTCONNECT),
            reply_seconds=control.get(remote_values.TIMEOUTREMOTE),
        )
        return Plan(route.relays, terms, ourselves(control), _unreadable(control))

    if policy_for:
        return plan  # nobody says when that changes
    known = lru_cache(REMEMBERED)(lambda destination, _changes: plan(destination))
    return lambda destination: known(destination, control.changes)


def _unreadable(control: Control) -> str:
    """By default mail goes to MX hosts, in the clear if need be: who wrote a line wants another
    thing, and a release that cannot read it does not know what."""
    for setting in (remote_values.SMTPROUTES, remote_values.TLSPOLICY):
        if control.is_unreadable(setting):
            return setting.name
    return ""


def table_policy(control: Control) -> PolicyFor:
    return lambda domain: tls_policy.lookup(control.get(remote_values.TLSPOLICY), domain)


def _tls(route: Route, destination: str, policy_for: PolicyFor) -> TlsPolicy:
    """The route's own; with a login no less than a verified host, unless the route says so."""
    policy = route.tls or (VERIFIED if route.login else policy_for(destination))
    if policy.level is not Level.VERIFY or policy.names:
        return policy
    names = names_to_verify(destination, route.relays)
    return replace(policy, names=names) if names else policy


def names_to_verify(destination: str, relays: tuple[Relay, ...]) -> tuple[str, ...]:
    """What a certificate is to be for where no policy says; none: the host's own name.

    A relay's name was written by an operator, a literal by the sender; an MX host's by DNS only.
    """
    if relays or destination[:1] == "[":
        return ()
    return (destination.lower(), "." + destination.lower())


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
