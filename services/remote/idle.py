"""Sessions that wait for another mail: which one is taken, which one has to go. Pure.

It closes nothing and knows no clock: the time, and how a session is, are told or asked.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MOST = 500
"""Idle sessions of one process."""

MOST_ALIKE = 20
"""Idle sessions with one host on the same terms: what a destination gets at once by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`idle`: seconds a session waits, 0 for never; `life`: seconds and `mails`: mails in all."""

    idle: float
    life: float
    mails: int


class Reusable(Protocol):
    """What has to be known of a session. `born`: when it began; `mails`: how many it has had."""

    born: float
    mails: int

    @property
    def usable(self) -> bool:
        """Whether it takes another mail, as far as this side knows."""
        ...

    @property
    def most(self) -> float:
        """How many mails its peer wants at most."""
        ...


S = TypeVar("S", bound=Reusable)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[S]):
    session: S
    key: Hashable
    since: float


class IdleSessions(Generic[S]):
    """The sessions by their key: whoever has the same key may have any of them."""

    def __init__(self, most: int = MOST, most_alike: int = MOST_ALIKE) -> None:
        self._most, self._most_alike = most, most_alike
        self._alike: dict[Hashable, list[_Waiting[S]]] = {}  # the newest last, as in _all
        self._all: OrderedDict[_Waiting[S], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: Hashable) -> bool:
        return any(waiting.session.usable for waiting in self._alike.get(key, ()))

    def keep(self, key: Hashable, session: S, now: float) -> list[S]:
        """Lets go of those that have to go for it: the longest idle of its kind, and of all."""
        waiting = _Waiting(session, key, now)
        self._all[waiting] = None
        alike = self._alike.setdefault(key, [])
        alike.append(waiting)
        too_many = []
        if len(alike) > self._most_alike:
            too_many.append(self._without(alike[0]))
        if len(self._all) > self._most:
            too_many.append(self._without(next(iter(self._all))))
        return too_many

    def take(self, key: Hashable, now: float, limits: Limits) -> S | None:
        """The one that was used last: those that are too many grow old, and go."""
        for waiting in reversed(self._alike.get(key, ())):
            if not _over(waiting, now, limits):
                return self._without(waiting)
        return None

    def over(self, now: float, limits: Limits) -> list[S]:
        """Lets go of those that are not to be used again."""
        return [self._without(w) for w in list(self._all) if _over(w, now, limits)]

    def clear(self) -> list[S]:
        """Lets go of all."""
        return [self._without(waiting) for waiting in list(self._all)]

    def _without(self, waiting: _Waiting[S]) -> S:
        del self._all[waiting]
        alike = self._alike[waiting.key]
        alike.remove(waiting)
        if not alike:
            del self._alike[waiting.key]
        return waiting.session


def spent(session: Reusable, now: float, limits: Limits) -> bool:
    """Whether it has had its time, or its mails, or has ended."""
    if not session.usable or now - session.born >= limits.life:
        return True
    return session.mails >= limits.mails or session.mails >= session.most


def _over(waiting: _Waiting[S], now: float, limits: Limits) -> bool:
    return now - waiting.since >= limits.idle or spent(waiting.session, now, limits)
