"""In which order the hosts of a domain are tried (RFC 5321 5.1). Pure: chance is an argument."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, groupby, zip_longest
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """An address of a host."""

    @property
    def ip(self) -> str: ...

    @property
    def preference(self) -> int: ...


T = TypeVar("T", bound=Candidate)


def in_order(
    exchangers: Iterable[tuple[int, str]], draw: Callable[[], float]
) -> list[tuple[int, str]]:
    """MX hosts of (preference, name): the lowest preference first, equal ones as `draw` has it.

    A name that stands there twice counts where it is best.
    """
    drawn = [(preference, draw(), name) for preference, name in exchangers]
    best: dict[str, int] = {}
    for preference, _, name in sorted(drawn):
        best.setdefault(name, preference)
    return [(preference, name) for name, preference in best.items()]


def alternating(candidates: Iterable[T], families: Sequence[str]) -> list[T]:
    """Among equal preferences IPv4 and IPv6 take turns, the first of `families` ("4", "6") first.

    Else many addresses of a family that is out of reach would use up an attempt. `candidates` come
    in the order of preference.
    """
    ordered: list[T] = []
    for _, equal in groupby(candidates, key=lambda candidate: candidate.preference):
        queues: tuple[list[T], list[T]] = ([], [])
        for candidate in equal:
            queues[(":" in candidate.ip) != (families[0] == "6")].append(candidate)
        turns = chain.from_iterable(zip_longest(*queues))
        ordered += [candidate for candidate in turns if candidate is not None]
    return ordered
