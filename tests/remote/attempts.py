"""Attempts of remote at a peer on loopback, on terms that a test chooses."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from services.remote.attempt import RemoteCourier
from services.remote.idle import Limits
from services.remote.mx import DnsResolver
from services.remote.plan import Plan
from services.remote.pool import Pool
from services.remote.smtp.events import Phase
from services.remote.terms import Source, Terms
from tubepost.delivery import Mail
from tubepost.outcome import Outcome

REUSE = Limits(idle=100.0, life=100.0, mails=100)
TERMS = Terms(source=Source(helo="me.example"), connect_seconds=10.0)
POLL = 0.005
HANGS = 30.0
"""Seconds after which an attempt counts as one that never ends."""


class Attempts:
    """A courier for mail to `[127.0.0.1]` whose impatience can be set between two mails.

    At the end of its `async with` it must have let go of every socket.
    """

    def __init__(self, port: int, terms: Terms = TERMS) -> None:
        self.patience = dict.fromkeys(Phase, 10.0)
        self._terms = terms
        self.courier = RemoteCourier(
            plan=self._plan,
            resolver=DnsResolver(["127.0.0.1"]),
            pool=Pool(lambda: REUSE),
            port=port,
        )

    async def __aenter__(self) -> "Attempts":
        self._before = _sockets()
        return self

    def close(self) -> None:
        """Ends the sessions that are kept."""
        self.courier.pool.close()

    async def __aexit__(self, *_: object) -> None:
        self.close()
        async with asyncio.timeout(HANGS):
            while _sockets() - self._before:  # noqa: ASYNC110 - a transport tells nobody
                await asyncio.sleep(POLL)

    def _plan(self, _destination: str) -> Plan:
        return Plan((), replace(self._terms, patience=self.patience))

    async def deliver(self, mail: Mail) -> dict[str, Outcome]:
        async with asyncio.timeout(HANGS):
            return dict(await self.courier.deliver(mail))


def _sockets() -> set[str]:
    """Those this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}
