"""Units that outlived their time behind a destination that cannot be reached. Pure.

Their destination's failed probe was their last try. They are looked for when a probe fails, some
at a time, and only where one that waits is old enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from services.scheduler.lane import Lane
from tubepost.record import Held
from tubepost.subjects import Key


@dataclass(frozen=True, slots=True)
class Expired:
    """A unit to end without an attempt of its own; `error`: what its destination's probe met."""

    key: Key
    error: str


class Expiry:
    """The units of one lane that are to be looked at."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._probed: dict[str, tuple[float, str]] = {}
        self._name, self._failed_at, self._error = "", 0.0, ""
        self._left: list[Held] = []

    def probe_failed(self, name: str, now: float, error: str) -> None:
        """A destination was tried, and did not answer."""
        self._probed[name] = now, error

    @property
    def searching(self) -> bool:
        """Whether there is more to look at."""
        return bool(self._left or self._probed)

    def found(self, lifetime: float, most: int) -> Iterator[Expired]:
        """The expired among the next `most` units; they no longer wait in the lane."""
        for _ in range(most):
            if not self._left and not self._begin(lifetime):
                return
            held = self._left.pop()
            if self._lane.standing.get(held.key) is not held:
                continue
            born = held.record.clock_start
            if born + lifetime < self._failed_at:
                self._lane.drop(held)
                yield Expired(held.key, self._error)
            else:
                self._lane.older(self._name, born)

    def _begin(self, lifetime: float) -> bool:
        """With the next destination that has units to look at."""
        while self._probed and not self._left:
            self._name, (self._failed_at, self._error) = self._probed.popitem()
            self._left = self._lane.waiting_for(self._name, self._failed_at - lifetime)
        return bool(self._left)
