"""Slows down who guesses a password where no client's address is known. Pure.

A user changes his password himself over HTTP, often behind a web page that all users share: so what
is counted is the address whose password is guessed, whether there is such an account or not.
"""

from collections import OrderedDict

from tubepost.ports import Clock

MOST = 5
"""Wrong passwords for an address within WINDOW; then not even the right one is looked at."""

WINDOW = 900.0
"""Seconds."""

KEPT = 10_000
"""Addresses counted; of more, the one that began first is forgotten."""


class Brake:
    """In the memory of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def holds(self, name: str) -> bool:
        """Whether nobody may try again yet."""
        return self._count(name)[1] >= MOST

    def tried(self, name: str) -> None:
        """Before the password is looked at: many tries at once are many."""
        since, count = self._count(name)
        self._wrong[name] = since, count + 1
        if len(self._wrong) > KEPT:
            self._wrong.popitem(last=False)

    def proven(self, name: str) -> None:
        """The password was right: it begins anew."""
        self._wrong.pop(name, None)

    def _count(self, name: str) -> tuple[float, int]:
        now = self._clock()
        since, count = self._wrong.get(name, (now, 0))
        if now - since < WINDOW:
            return since, count
        self._wrong.pop(name, None)
        return now, 0
