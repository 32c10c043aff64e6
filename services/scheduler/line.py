"""The units that wait for one destination in one class: senders take turns. Pure.

A unit that leaves the line other than by `take` only stops to be counted; what it leaves behind
is passed over, and swept out once it is the greater part.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping

from tubepost.record import Held
from tubepost.subjects import Key

Standing = Mapping[Key, Held]
"""The units that wait, each in the version that waits."""

SWEEP = 32
"""Units a line may have left behind in any case."""


class Line:
    """`live`: units that wait. `ring`: the ring of lines it stands in, None = in none now.

    A sender with one unit costs no queue, nor does a line with one unit: there may be a million.
    """

    __slots__ = ("_entries", "_only", "_senders", "_turns", "live", "name", "ring")

    def __init__(self, name: str) -> None:
        self.name = name
        self.live = 0
        self.ring: OrderedDict[Line, None] | None = None
        self._only: Held | None = None
        self._entries = 0
        self._turns: deque[str] | None = None
        self._senders: dict[str, Held | deque[Held]] = {}

    def add(self, held: Held) -> None:
        """Behind what its sender has here already."""
        self.live += 1
        self._entries += 1
        if self._turns is not None:
            self._join(self._turns, held)
        elif self._only is None:
            self._only = held
        else:
            self._turns = deque()
            self._join(self._turns, self._only)
            self._join(self._turns, held)
            self._only = None

    def take(self, standing: Standing) -> Held:
        """The next unit; there has to be one that lives."""
        while True:
            held = self._next()
            self._entries -= 1
            if standing.get(held.key) is held:
                self.live -= 1
                if not self.live:
                    self._clear()
                return held

    def left(self, standing: Standing) -> None:
        """A unit, no longer `standing`, went elsewhere."""
        self.live -= 1
        if not self.live:
            self._clear()
        elif self._entries > 2 * self.live + SWEEP:
            self._sweep(standing)

    def everything(self) -> list[Held]:
        """All in it, dead ones too; each sender's in their order."""
        if self._only is not None:
            return [self._only]
        found: list[Held] = []
        for waiting in self._senders.values():
            if isinstance(waiting, Held):
                found.append(waiting)
            else:
                found += waiting
        return found

    def _join(self, turns: deque[str], held: Held) -> None:
        sender = held.record.sender
        waiting = self._senders.get(sender)
        if waiting is None:
            self._senders[sender] = held
            turns.append(sender)
        elif isinstance(waiting, Held):
            self._senders[sender] = deque((waiting, held))
        else:
            waiting.append(held)

    def _next(self) -> Held:
        if self._turns is None:
            held, self._only = self._only, None
            if held is None:
                raise IndexError("nobody waits in this line")
            return held
        sender = self._turns.popleft()
        waiting = self._senders[sender]
        if isinstance(waiting, Held):
            del self._senders[sender]
            return waiting
        first = waiting.popleft()
        if waiting:
            self._turns.append(sender)
        else:
            del self._senders[sender]
        return first

    def _clear(self) -> None:
        self._only, self._turns, self._entries = None, None, 0
        self._senders = {}

    def _sweep(self, standing: Standing) -> None:
        """What lives keeps its sender's order; the senders begin a new round."""
        alive = [held for held in self.everything() if standing.get(held.key) is held]
        self._clear()
        self.live = 0
        for held in alive:
            self.add(held)
