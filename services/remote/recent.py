"""What was tried in the last minutes, by destination. Pure: time is an argument.

Minutes are counted apart, and the oldest is forgotten as a whole: an attempt costs one look-up, and
memory is bounded whatever the destinations are.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tubepost.outcome import NAMES, Outcome

MINUTES = 10
NAMED = 2000
"""Destinations counted by name in one minute; further ones are counted as OTHER."""

TOP = 20
OTHER = "other"


@dataclass(slots=True)
class Tally:
    """`recipients`: by outcome, as NAMES calls it. `seconds`: of all the attempts together."""

    recipients: dict[str, int]
    attempts: int = 0
    seconds: float = 0.0

    def add(self, more: "Tally") -> None:
        for name, count in more.recipients.items():
            self.recipients[name] += count
        self.attempts += more.attempts
        self.seconds += more.seconds


def _nothing() -> Tally:
    return Tally(dict.fromkeys(NAMES.values(), 0))


class Recent:
    """The attempts of one process. `now`: seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._minute = 0
        self._current: dict[str, Tally] = {}
        self._minutes: deque[tuple[int, dict[str, Tally]]] = deque()

    def add(
        self, now: float, destination: str, outcomes: Iterable[Outcome], seconds: float
    ) -> None:
        """One attempt is over."""
        minute = int(now // 60)
        if minute != self._minute or not self._minutes:
            self._begin(minute)
        tally = self._current.get(destination)
        if tally is None:
            name = destination if len(self._current) < NAMED else OTHER
            tally = self._current.setdefault(name, _nothing())
        tally.attempts += 1
        tally.seconds += seconds
        for outcome in outcomes:
            tally.recipients[NAMES[type(outcome)]] += 1

    def top(self, now: float) -> Mapping[str, Tally]:
        """The destinations with most attempts in the last MINUTES, and OTHER, which is the rest."""
        self._forget(int(now // 60))
        total: dict[str, Tally] = {}
        for _, tallies in self._minutes:
            for name, tally in tallies.items():
                total.setdefault(name, _nothing()).add(tally)
        rest = total.pop(OTHER, _nothing())
        ranked = sorted(total, key=lambda name: (-total[name].attempts, name))
        for name in ranked[TOP:]:
            rest.add(total[name])
        return {**{name: total[name] for name in ranked[:TOP]}, OTHER: rest}

    def _begin(self, minute: int) -> None:
        self._forget(minute)
        self._minute, self._current = minute, {}
        self._minutes.append((minute, self._current))

    def _forget(self, minute: int) -> None:
        while self._minutes and self._minutes[0][0] <= minute - MINUTES:
            self._minutes.popleft()
