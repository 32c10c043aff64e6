"""Attempts of remote at a peer on loopback, on terms that a test chooses."""

import asyncio
from dataclasses import replace

from services.remote.attempt import RemoteCourier
from services.remote.events import Phase
from services.remote.mx import DnsResolver
from services.remote.plan import Plan
from services.remote.pool import Pool
from services.remote.terms import Source, Terms
from tubepost.delivery import Mail
from tubepost.outcome import Outcome

TERMS = Terms(source=Source(helo="me.example"), connect_seconds=10.0)
HANGS = 30.0
"""Seconds after which an attempt counts as one that never ends."""


class Attempts:
    """A courier for mail to `[127.0.0.1]` whose impatience can be set between two mails."""

    def __init__(self, port: int, terms: Terms = TERMS) -> None:
        self.patience = dict.fromkeys(Phase, 10.0)
        self._terms = terms
        self.courier = RemoteCourier(
            plan=self._plan, resolver=DnsResolver(["127.0.0.1"]), pool=Pool(), port=port
        )

    def _plan(self, _destination: str) -> Plan:
        return Plan((), replace(self._terms, patience=self.patience))

    async def deliver(self, mail: Mail) -> dict[str, Outcome]:
        async with asyncio.timeout(HANGS):
            return dict(await self.courier.deliver(mail))
