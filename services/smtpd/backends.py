"""Whether what smtpd cannot do without answers: asked now and then, clients or not.

Readiness follows the answers. A session that got none has them asked again at once, so that a
process whose clients are turned away is out of service before the next look was due.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tubepost import maillog
from tubepost.admin import Health
from tubepost.errors import Unavailable

EVERY = 5.0
"""Seconds between two questions while all is well."""

AGAIN = 0.5
"""Seconds between two questions to one that is away."""

LOGINS = "logins"
"""popauth: asked only where AUTH is offered."""


class Backend:
    """`ask` raises Unavailable. `reason`: why it is away, "" while it answers."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        self._name, self._ask = name, ask
        self._doubted = asyncio.Event()
        self.reason = ""

    def doubt(self) -> None:
        """Has it asked again now."""
        self._doubted.set()

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            self._doubted.clear()
            self._note(await self._answer())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN if self.reason else EVERY):
                    await self._doubted.wait()

    async def _answer(self) -> str:
        try:
            await self._ask()
        except Unavailable as error:
            return str(error) or "no answer"
        return ""

    def _note(self, reason: str) -> None:
        if reason and not self.reason:
            maillog.backend_away(self._name, reason)
        elif self.reason and not reason:
            maillog.backend_back(self._name)
        self.reason = reason


class Backends:
    """Those of a process, by name. Without any it is ready as far as they go."""

    def __init__(self) -> None:
        self._all: dict[str, Backend] = {}

    def add(self, name: str, ask: Callable[[], Awaitable[object]], health: Health) -> None:
        """To be called before `run`."""
        backend = self._all[name] = Backend(name, ask)
        health.checks[f"smtpd: {name}"] = lambda: backend.reason

    def doubt(self, name: str) -> None:
        """A client was told to come back because of it."""
        if name in self._all:
            self._all[name].doubt()

    async def run(self) -> None:
        """Asks all of them for ever."""
        async with asyncio.TaskGroup() as group:
            for backend in self._all.values():
                group.create_task(backend.run())
            await asyncio.Event().wait()  # there may be none to ask
