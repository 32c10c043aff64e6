"""What a worker tells of its deliveries: each when it is over, a long one also while it runs."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tubepost import retry
from tubepost.events import Teller
from tubepost.outcome import NAMES, Deferred, Delivered, Outcome
from tubepost.ports import Clock
from tubepost.record import Fate, Held, Record, State
from tubepost.subjects import Key

LONG = 1.0
"""Seconds after which a delivery that still runs is told of, and between two looks for such."""


class Attempts:
    """The deliveries of one worker. All times in seconds since 1970."""

    def __init__(self, events: Teller, clock: Clock) -> None:
        self._events, self._clock = events, clock
        self._young: dict[Key, tuple[Held, float]] = {}

    async def watch(self) -> None:
        """Tells of those that take long, until cancelled. A sweep: a timer each would cost more."""
        while True:
            await asyncio.sleep(LONG)
            self.tell_of_long_ones()

    def tell_of_long_ones(self) -> None:
        """Tells once of each that has run for LONG."""
        now = self._clock()
        for key, (held, began) in list(self._young.items()):
            if now - began < LONG:
                break  # the rest began later
            del self._young[key]
            self._events.emit(
                "started", key.mail_id, **_about(held, began), recipients=held.record.waiting
            )

    def begins(self, held: Held, began: float) -> None:
        """A delivery begins."""
        self._young[held.key] = held, began

    def over(self, key: Key) -> None:
        """It runs no longer, whatever came of it."""
        self._young.pop(key, None)

    def stored(
        self,
        held: Held,
        outcomes: Mapping[str, Outcome],
        new: Record | None,
        *,
        began: float,
        now: float,
    ) -> None:
        """Its outcome, known at `now`, is durable. `new`: the record as it is since."""
        waits = new is not None and new.state is State.PENDING
        self._events.emit(
            "attempt",
            held.key.mail_id,
            at=now,
            **_about(held, began),
            seconds=round(now - began, 4),
            recipients=_outcomes(outcomes, new),
            state=new.state if new else "gone",
            next_attempt=new.next_attempt if new and waits else None,
            group=held.record.group is not None,
        )

    def parked(self, key: Key, why: str) -> None:
        """The record was set aside."""
        self._events.emit("parked", key.mail_id, unit=key.unit, why=why)


def _about(held: Held, began: float) -> dict[str, Any]:
    record = held.record
    return {
        "unit": held.key.unit,
        "channel": record.channel,
        "destination": record.destination,
        "attempt": record.attempts + 1,
        "began": began,
    }


def _outcomes(outcomes: Mapping[str, Outcome], new: Record | None) -> list[dict[str, Any]]:
    """What the log says of each recipient. A deferral that was the last is a failure (SEND-6)."""
    failed = {r.address for r in new.recipients if r.fate is Fate.FAILED} if new else ()
    found = []
    for address, outcome in outcomes.items():
        name, text = NAMES[type(outcome)], outcome.text
        if isinstance(outcome, Deferred) and address in failed:
            name, text = "failure", f"{text}/{retry.EXPIRED}"
        one = {"address": address, "outcome": name, "status": outcome.status, "text": text}
        found.append(one | _where(outcome))
    return found


def _where(outcome: Outcome) -> dict[str, Any]:
    """What not every outcome has: a host that was spoken to, a reason."""
    found: dict[str, Any] = {"peer": outcome.peer} if outcome.peer else {}
    if outcome.seconds:
        found["seconds"] = round(outcome.seconds, 4)
    if isinstance(outcome, Delivered):
        if outcome.tls:
            found["tls"] = outcome.tls
    else:
        found["kind"] = outcome.kind
        if outcome.phase:
            found["phase"] = outcome.phase
    return found
