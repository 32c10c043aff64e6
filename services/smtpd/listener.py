"""What the sessions of one listener share, and how they end together."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Protocol

from services.smtpd.backends import Backends
from services.smtpd.budget import Budget
from services.smtpd.facts import Kind
from services.smtpd.gather import Gatherer
from services.smtpd.intake import Intake
from services.smtpd.lookups import Lookups
from services.smtpd.meter import Meter
from tubepost import metrics
from tubepost.control import Control
from tubepost.ports import Bus

OPENING = 10.0
"""Seconds for a PROXY header and the handshake of implicit TLS, for each of them."""


class Leavable(Protocol):
    """A session, as its listener sees it."""

    def say_goodbye(self) -> None:
        """Ends the session, now or, while a mail is being taken, after its reply."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all listeners of a process share."""

    bus: Bus
    control: Control
    gather: Gatherer
    intake: Intake
    lookups: Lookups | None = None
    memory: Budget = field(default_factory=Budget)
    backends: Backends = field(default_factory=Backends)

    @property
    def meter(self) -> Meter:
        return self.gather.meter

    def wants_dns(self) -> bool:
        """Whether a setting asks DNS about clients or senders."""
        return self.lookups is not None and self.lookups.wishes.about_dns


@dataclass
class Listener:
    """One port, and the sessions on it. `proxy`: trusted load balancers say who the client is."""

    name: str
    kind: Kind
    parts: Parts
    tls: SSLContext | None
    proxy: bool = False
    opening_seconds: float = OPENING
    sessions: set[Leavable] = field(default_factory=set)
    draining: bool = False
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    async def drain(self, seconds: float) -> None:
        """Lets mails being taken end, for so long; everybody else is told to come back."""
        self.draining = True
        self.emptied.clear()
        for session in list(self.sessions):
            session.say_goodbye()
        if self.sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.emptied.wait()

    def joined(self, session: Leavable) -> None:
        """A session has begun."""
        self.sessions.add(session)
        metrics.SMTP_SESSIONS.labels(self.name).inc()

    def left(self, session: Leavable) -> None:
        """A session is over."""
        if session in self.sessions:
            self.sessions.discard(session)
            metrics.SMTP_SESSIONS.labels(self.name).dec()
        if not self.sessions:
            self.emptied.set()
