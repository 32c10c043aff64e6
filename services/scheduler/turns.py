"""Whose turn it is: classes by weight, the lines of a class one after the other. Pure.

Smooth weighted round robin: of 14 units 8 are interactive, 4 normal, one is bulk and one goes to
a destination in trouble, spread evenly; what a class does not use the others share.
"""

from collections import OrderedDict

from services.scheduler.line import Line
from tubepost.record import Priority, Record

INTERACTIVE, NORMAL, BULK, TROUBLE = range(4)

WEIGHTS = (8, 4, 1, 1)

_RANKS = {
    Priority.INTERACTIVE: INTERACTIVE,
    Priority.NORMAL: NORMAL,
    Priority.BULK: BULK,
}


def rank_of(record: Record) -> int:
    """What was tried before waits with the bulk: its return must not delay new mail."""
    return BULK if record.attempts else _RANKS[record.priority]


class Turns:
    """A ring of lines for each class."""

    __slots__ = ("_credit", "_rings")

    def __init__(self) -> None:
        self._rings: tuple[OrderedDict[Line, None], ...] = tuple(OrderedDict() for _ in WEIGHTS)
        self._credit = [0] * len(WEIGHTS)

    def enter(self, line: Line, rank: int) -> None:
        """At the end of that ring."""
        ring = self._rings[rank]
        ring[line] = None
        line.ring = ring

    def leave(self, line: Line) -> None:
        """Out of the ring it is in, if any."""
        if line.ring is not None:
            del line.ring[line]
            line.ring = None

    def next(self, *, no_trouble: bool) -> tuple[int, Line] | None:
        """The class and the line whose turn it is; None = nobody waits.

        `no_trouble`: destinations in trouble have what they may have.
        """
        best, most = -1, 0
        for rank in range(TROUBLE if no_trouble else TROUBLE + 1):
            if self._rings[rank]:
                credit = self._credit[rank] + WEIGHTS[rank]
                if best < 0 or credit > most:
                    best, most = rank, credit
        return None if best < 0 else (best, next(iter(self._rings[best])))

    def served(self, rank: int, line: Line, *, no_trouble: bool) -> None:
        """It had its turn; to the end of its ring, or out of it where nobody waits in it."""
        for each in range(TROUBLE if no_trouble else TROUBLE + 1):
            if self._rings[each]:
                self._credit[each] += WEIGHTS[each]
                self._credit[rank] -= WEIGHTS[each]
        if line.live:
            self._rings[rank].move_to_end(line)
        else:
            self.leave(line)
