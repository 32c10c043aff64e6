"""Tells the scheduler, which does no DNS, by which hosts a destination's mail goes."""

import json
from typing import Protocol

from services.remote.mx import Found
from services.remote.plan import Plan, Planner
from tubepost.outcome import Deferred, Failed


class Hosts(Protocol):
    """What RemoteCourier is to this module."""

    @property
    def plan(self) -> Planner: ...

    async def hosts(self, plan: Plan, destination: str) -> Found: ...


class SiteAnswers:
    """Answers subjects.SITE from what the deliveries' own look-ups have found, or will need."""

    def __init__(self, courier: Hosts) -> None:
        self._courier = courier

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """`{"hosts": [...]}`: of the best preference, or the relay; null: nobody knows now."""
        destination = data.decode()
        found = await self._courier.hosts(self._courier.plan(destination), destination)
        if isinstance(found, Deferred):
            return b'{"hosts": null}'
        return json.dumps({"hosts": best(found)}).encode()


def best(found: Found) -> list[str]:
    """The names of the hosts that are tried first."""
    if isinstance(found, Deferred | Failed) or not found:
        return []
    preference = min(host.preference for host in found)
    return sorted({host.name.lower() for host in found if host.preference == preference})
