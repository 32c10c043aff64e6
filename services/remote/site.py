"""What the scheduler, which does no DNS, asks of remote about a destination's hosts."""

import json
from typing import Protocol

from services.remote.host_health import SharedHealth
from services.remote.mx import Found
from services.remote.plan import Plan, Planner
from tubepost import subjects
from tubepost.outcome import Deferred, Failed
from tubepost.ports import Bus

AT_ONCE = 8
"""Questions answered at a time."""


class Hosts(Protocol):
    """What RemoteCourier is to this module."""

    @property
    def plan(self) -> Planner: ...

    async def hosts(self, plan: Plan, destination: str) -> Found: ...


class SiteAnswers:
    """Answers from what the deliveries' own look-ups have found, or will need."""

    def __init__(self, courier: Hosts, health: SharedHealth) -> None:
        self._courier, self._health = courier, health

    async def listen(self, bus: Bus) -> None:
        """One of all workers answers."""
        for subject, answer in ((subjects.SITE, self.hosts), (subjects.HOSTS_RESET, self.reset)):
            await bus.answer(subject, answer, group=subjects.REMOTE, at_once=AT_ONCE)

    async def hosts(self, _subject: str, data: bytes) -> bytes:
        """`{"hosts": [...]}`: of the best preference, or the relay; null: nobody knows now."""
        found = await self._found(data.decode())
        if isinstance(found, Deferred):
            return b'{"hosts": null}'
        return json.dumps({"hosts": best(found)}).encode()

    async def reset(self, _subject: str, data: bytes) -> bytes:
        """An operator wants it tried now: SEND-18, qmail-tcpok. Ends once it is written."""
        if data:
            found = await self._found(data.decode())
            ips = [] if isinstance(found, Deferred | Failed) else [host.ip for host in found]
        else:
            ips = [each["ip"] for each in self._health.listed()]
        for ip in dict.fromkeys(ips):
            self._health.reset(ip)
        await self._health.written()
        return b"{}"

    async def _found(self, destination: str) -> Found:
        return await self._courier.hosts(self._courier.plan(destination), destination)


def best(found: Found) -> list[str]:
    """The names of the hosts that are tried first."""
    if isinstance(found, Deferred | Failed) or not found:
        return []
    preference = min(host.preference for host in found)
    return sorted({host.name.lower() for host in found if host.preference == preference})
