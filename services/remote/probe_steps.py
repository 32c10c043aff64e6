"""What a probe has found out, one JSON object for each step of it. Pure.

A login is told as present, never shown.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from services.remote.connection import Opened, TryNext
from services.remote.mx import Found, Host
from services.remote.plan import Plan
from services.remote.probe_dns import Lookup
from tubepost.certificate_names import told_der
from tubepost.errors import BadInput
from tubepost.outcome import NAMES, Deferred, Delivered, Failed, Outcome

Step = dict[str, Any]
"""`step` says which: plan, dns, hosts, host, end."""


def of_plan(plan: Plan, destination: str, route: str | None) -> Step:
    """`route`: the left side of the line of smtproutes that rules, None = none does."""
    terms = plan.terms
    return {
        "step": "plan",
        "destination": destination,
        "route": route,
        "relays": [{"host": relay.host, "port": relay.port} for relay in plan.relays],
        "tls": {"level": terms.tls.level, "names": list(terms.tls.names)},
        "helo": terms.source.helo,
        "ips": list(terms.source.ips),
        "login": terms.login is not None,
        "lmtp": terms.lmtp,
    }


def of_dns(answers: Iterable[Lookup] | None, seconds: float) -> Step:
    """`answers` None: they did not come in time."""
    shown = None if answers is None else [asdict(answer) for answer in answers]
    return {"step": "dns", "answers": shown, "seconds": seconds}


def of_hosts(found: Found, most: int) -> Step:
    """The hosts a delivery would try, in its order; or its outcome where there are none."""
    if isinstance(found, Deferred | Failed):
        return {"step": "hosts", "hosts": [], "left_out": 0, "outcome": of_outcome(found)}
    shown = [asdict(host) for host in found[:most]]
    return {"step": "hosts", "hosts": shown, "left_out": len(found) - len(shown), "outcome": None}


def of_host(host: Host, skipped: str) -> Step:
    """A host nothing is known of yet. `skipped`: why a delivery passes it over now, "" = not."""
    return {
        "step": "host",
        **asdict(host),
        "skipped": skipped,
        "connected": False,
        "greeted": False,
        "opened": None,
        "banner": "",
        "extensions": {},
        "error": "",
        "reply": "",
        "timed_out": False,
        "rcpt": None,
    }


def refused(problem: TryNext) -> Step:
    """What a host that did not greet adds."""
    return {
        "connected": problem.connected,
        "error": problem.reason,
        "reply": problem.reply,
        "timed_out": not problem.connected and "timed out" in problem.reason,
    }


def greeted(opened: Opened, banner: str, extensions: dict[str, str]) -> Step:
    """What a host that did greet adds."""
    return {
        "connected": True,
        "greeted": True,
        "opened": _plain(asdict(opened)),
        "banner": banner,
        "extensions": extensions,
    }


def _plain(opened: Step) -> Step:
    """What the certificate says instead of its octets."""
    return opened | {"certificate": _certificate(opened["certificate"])}


def _certificate(der: bytes) -> Step | None:
    """None where there is none, or it cannot be read."""
    try:
        return asdict(told_der(der)) if der else None
    except BadInput:
        return None


def of_outcome(outcome: Outcome) -> Step:
    """As an attempt that ended like this."""
    said = {"outcome": NAMES[type(outcome)], "text": outcome.text}
    if isinstance(outcome, Delivered):
        return said | {"status": "2.0.0", "kind": "", "reply": ""}
    return said | {"status": outcome.status, "kind": outcome.kind, "reply": outcome.reply}
