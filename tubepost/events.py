"""What happens to a mail, told as events: JSON on the EVENTS stream, for whoever asks later.

Telling never blocks, never fails and promises nothing: what finds no room in the buffer is
dropped and counted. KINDS lists every event with its fields; docs/events.md is compared with it.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from tubepost import maillog, metrics, subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus, Clock

BREATH = 50
"""Events sent before others may run."""

BUFFER = 10_000
"""Events that wait to be sent at most."""

GATHER = 0.05
"""Seconds between two rounds of sending: what comes meanwhile goes out in one write."""

AWAY = 0.5
"""Seconds until a bus that is away is looked for again."""

SHOWN = 20
"""Recipients, or units, named in one event; `count` says how many there are."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "accepted": (
        "sender",
        "recipients",
        "count",
        "size",
        "source",
        "client",
        "helo",
        "user",
        "bounce_of",
        "forward_of",
    ),
    "split": ("units", "count"),
    "started": ("unit", "channel", "destination", "attempt", "began", "recipients"),
    "attempt": (
        "unit",
        "channel",
        "destination",
        "attempt",
        "began",
        "seconds",
        "recipients",
        "state",
        "next_attempt",
        "group",
    ),
    "bounced": ("unit", "bounce", "kind", "to"),
    "warned": ("unit", "warning", "to"),
    "parked": ("unit", "why"),
    "operator": ("unit", "action", "actor", "why"),
    "ended": ("unit", "seconds"),
}
"""Fields of each event, beside `at`, `by`, `event` and `mail`, which all have."""


class Teller(Protocol):
    """Whoever has something to tell gets one of these."""

    def emit(
        self, kind: str, mail_id: str = "", /, *, at: float | None = None, **fields: object
    ) -> None:
        """Tells one event of KINDS; without a mail, one of the queue. `at`: now, if not given."""
        ...


class Nobody:
    """A Teller nobody listens to."""

    def emit(
        self, kind: str, mail_id: str = "", /, *, at: float | None = None, **fields: object
    ) -> None:
        """See Teller."""


NOBODY = Nobody()


class Events:
    """Tells over the bus, while `run` runs. `instance`: which process of the service."""

    def __init__(self, bus: Bus, service: str, instance: str, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._by = f"{service}/{instance}"
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._news = asyncio.Event()

    def emit(
        self, kind: str, mail_id: str = "", /, *, at: float | None = None, **fields: object
    ) -> None:
        """See Teller. Fields are kept as they are until they are sent: do not change them."""
        if len(self._waiting) >= BUFFER:
            metrics.EVENTS_DROPPED.inc()
            return
        when = self._clock() if at is None else at
        event = {"event": kind, "mail": mail_id, "at": when, "by": self._by, **fields}
        self._waiting.append((mail_id, event))
        self._news.set()

    @property
    def waiting(self) -> int:
        """How many have not been sent yet."""
        return len(self._waiting)

    async def run(self) -> None:
        """Until cancelled; then what waits is sent, if it can be."""
        try:
            while True:
                await self._news.wait()
                await asyncio.sleep(GATHER if self._bus.connected else AWAY)
                await self._send()
        finally:
            await self._send()
            metrics.EVENTS_DROPPED.inc(len(self._waiting))

    async def _send(self) -> None:
        """Sends what waits; leaves it where the bus is away."""
        self._news.clear()
        for number in itertools.count(1):
            if not self._waiting or not self._bus.connected:
                break
            if not number % BREATH:
                await asyncio.sleep(0)  # what deliver or take mail comes first
            mail_id, event = self._waiting[0]  # it leaves once it is told, should we be cancelled
            subject = subjects.mail_events(mail_id) if mail_id else subjects.EVENT_QUEUE
            try:
                await self._bus.tell(subject, encoded(event))
            except Unavailable:
                metrics.EVENTS_DROPPED.inc()
            except Exception:  # noqa: BLE001 - an event is never worth a mail
                metrics.EVENTS_DROPPED.inc()
                maillog.bug(f"telling {event['event']}")
            self._waiting.popleft()
        if self._waiting:
            self._news.set()


_encode = json.JSONEncoder(separators=(",", ":")).encode


def encoded(event: Mapping[str, Any]) -> bytes:
    """An event's payload: JSON, ASCII."""
    return _encode(event).encode()


def decoded(data: bytes) -> dict[str, Any]:
    """The event in a payload; `unreadable` for what is none of ours."""
    try:
        event: dict[str, Any] = json.loads(data)
        whole = {"event": str(event["event"]), "mail": str(event["mail"]), "by": str(event["by"])}
        return {**event, **whole, "at": float(event["at"])}
    except (ValueError, KeyError, TypeError):
        return {"event": "unreadable", "mail": "", "by": "", "at": 0.0}
