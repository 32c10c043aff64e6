"""Asks remote for the mail hosts of destinations, so that Sites knows which limits they share.

Nothing waits for the answers: what is not known yet is not limited together yet.
"""

import asyncio
import json

from services.scheduler.sites import Sites
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus, Clock

AT_ONCE = 8
"""Questions under way."""

PATIENCE = 30.0
"""Seconds for an answer: name servers may take 20."""

KEPT = 3600.0
"""Seconds until known hosts are asked for again. MX records move rarely, and a limit that holds for
the old hosts an hour longer harms nobody."""

AGAIN = 60.0
"""Seconds until it is tried again where there was no answer."""


class SiteQuestions:
    """`sites` is what is known. `run` asks for what it wants to know."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._wanted: asyncio.Queue[str] = asyncio.Queue()  # as long as Sites lets it be
        self.sites = Sites(self._wanted.put_nowait)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._ask())

    async def _ask(self) -> None:
        while True:
            name = await self._wanted.get()
            hosts = await self._hosts(name)
            again = AGAIN if hosts is None else KEPT
            self.sites.learn(name, hosts, self._clock() + again)

    async def _hosts(self, destination: str) -> list[str] | None:
        """None: no remote, no bus, or no name server answers."""
        try:
            answer = await self._bus.ask(subjects.SITE, destination.encode(), seconds=PATIENCE)
            return [str(host) for host in json.loads(answer)["hosts"]]
        except (Unavailable, ValueError, KeyError, TypeError):  # null is no list
            return None
