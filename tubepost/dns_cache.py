"""Answers of name servers, kept for a while. Pure: the time is an argument."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Question = tuple[str, str]
"""Name and kind of record."""


class DnsCache(Generic[T]):
    """Answers that together weigh `most`, by `weigh`; those unused for longest go."""

    def __init__(self, most: int, weigh: Callable[[T], int]) -> None:
        self._most, self._weigh, self._weight = most, weigh, 0
        self._kept: OrderedDict[Question, tuple[float, T]] = OrderedDict()

    def get(self, question: Question, now: float) -> T | None:
        """The answer, None where there is none, or no longer."""
        found = self._kept.get(question)
        if found is None:
            return None
        until, answer = found
        if now >= until:
            self._drop(question)
            return None
        self._kept.move_to_end(question)
        return answer

    def put(self, question: Question, answer: T, until: float) -> None:
        """Keeps it up to the time `until`. One that is the half of all is too much to keep."""
        weight = self._weigh(answer)
        if weight * 2 > self._most:
            return
        self._drop(question)
        self._kept[question] = (until, answer)
        self._weight += weight
        while self._weight > self._most:
            self._drop(next(iter(self._kept)))

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, question: Question) -> None:
        found = self._kept.pop(question, None)
        if found is not None:
            self._weight -= self._weigh(found[1])
