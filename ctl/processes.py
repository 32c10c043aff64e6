"""The services of `tubepost up --processes` as children: one process each, or several of smtpd."""

import sys
from collections.abc import Mapping

from ctl.children import Child
from ctl.services import SERVICES
from services.smtpd.places import fixed


def service_children(
    values: Mapping[str, Mapping[str, str]], smtpd_workers: int, lock: int
) -> dict[str, Child]:
    """One for each service; smtpd's workers are `smtpd-1` and so on, on the ports of the first."""
    children = {}
    for service in SERVICES:
        if service != "smtpd" or smtpd_workers == 1:
            children[service] = _service_child(service, service, values[service], lock)
            continue
        first = None
        for number in range(1, smtpd_workers + 1):
            name = f"{service}-{number}"
            child = _service_child(name, service, values[service], lock, first)
            children[name], first = child, first or child
    return children


def _service_child(
    name: str, service: str, values: Mapping[str, str], lock: int, first: Child | None = None
) -> Child:
    """`first`: the child it shares ports with; it starts when that one has them."""

    def environment() -> dict[str, str]:
        # Started again, it listens for clients where it did before.
        bound = (first or child).said
        now = {**values, "admin_listen": "127.0.0.1:0"}
        now |= {place: bound[place] for place in values.keys() & bound.keys()}
        if "listeners" in values:
            now["listeners"] = fixed(values["listeners"], bound)
        return {f"TUBEPOST_{key.upper()}": value for key, value in now.items()}

    command = [sys.executable, "-m", f"services.{service}"]
    after = first.ready if first else None
    child = Child(name, command, lock=lock, environment=environment, after=after)
    return child
