"""What is known of a host that failed: left alone, tried by one, open again. Pure.

It is left alone from its second failure on (tubepost.backoff). Once its time is over one mail
tries: an answer clears it, a failure doubles the wait.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tubepost import backoff
from tubepost.backoff import PATIENCE
from tubepost.outcome import one_line

TRY_SECONDS = 120.0
"""A try belongs to whoever began it for so long: a connection and a greeting fit into it. Then,
should its worker have died, another one tries."""

TRIED_NOW = 30.0
"""Seconds until those who find it tried by another look again, at most."""

FORGOTTEN_AFTER = 7200.0
"""Seconds behind its last failure, or its back-off: longer than the longest wait."""

MAX_WHY = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """`failures` without an answer between them, the first one at `since`; `why`: the last one.

    Nobody tries it before `until`, 0 = anybody may. `trying`: one tries just now. Times are seconds
    since 1970.
    """

    failures: int
    since: float
    until: float
    why: str
    trying: bool = False

    @property
    def backed_off(self) -> bool:
        """From its second failure until it answers, its tries included."""
        return self.failures >= PATIENCE

    def forgotten(self, now: float) -> bool:
        return now > max(self.since, self.until) + FORGOTTEN_AFTER

    def opens(self, now: float) -> float:
        """When it is worth another look; 0 = now."""
        if self.until <= now:
            return 0.0
        return min(self.until, now + TRIED_NOW) if self.trying else self.until

    def tried(self, now: float) -> "Standing":
        """Its time is over, and somebody tries."""
        return replace(self, until=now + TRY_SECONDS, trying=True)

    def __str__(self) -> str:
        """Why nobody goes there, for an outcome's text (RMT-9)."""
        if self.trying:
            return f"{self.why}; another delivery tries it just now"
        at = datetime.fromtimestamp(self.until, UTC)
        return f"{self.why}; again from {at:%Y-%m-%d %H:%M:%S} UTC"


def after_failure(
    before: Standing | None,
    now: float,
    name: str,
    why: str,
    longest: float,
    *,
    doubted: bool = False,
) -> Standing:
    """It failed once more. `name` spreads the waits, `longest` bounds them.

    What was under way when the back-off began says nothing new: then it is `before`. `doubted`:
    no other host answers either, so from the back-off on no failure is counted.
    """
    if before is None or before.forgotten(now):
        return Standing(1, now, 0.0, one_line(why, MAX_WHY))
    if before.until > now and not before.trying:
        return before
    failures, until = before.failures + 1, 0.0
    if failures >= PATIENCE:
        doublings = 0 if doubted else failures - PATIENCE
        until = now + backoff.wait(name, doublings, longest)
    if doubted and before.backed_off:
        failures = before.failures
    return Standing(failures, before.since, until, one_line(why, MAX_WHY))


def met_by_two(mine: Standing, theirs: Standing) -> bool:
    """Whether each of two workers met a first failure, neither knowing of the other's."""
    return not mine.backed_off and not theirs.backed_off and mine.since != theirs.since


def encode(standing: Standing) -> dict[str, Any]:
    """As it stands in the bucket."""
    return asdict(standing)


def decode(data: bytes) -> Standing | None:
    """None for a tombstone, and where it is none of ours, such as a newer release's."""
    if not data:
        return None
    try:
        value = json.loads(data)
        return Standing(
            int(value["failures"]),
            float(value["since"]),
            float(value["until"]),
            str(value["why"]),
            bool(value.get("trying")),
        )
    except (KeyError, TypeError, ValueError):
        return None
