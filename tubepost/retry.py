"""When a deferred mail is tried again. Pure: time and jitter are arguments.

qmail-send's quadratic schedule, the default (notqmail qmail-send.c, nextretry() and pass_dochan()):

    next = born + (isqrt(now - born) + skip)^2, skip 10 for local and 20 for remote

so a remote mail is tried at 0, 400, 1600, 3600, 6400 ... seconds of age. Or an exponential one.
The first try after `lifetime` is the last one.
"""

import re
import zlib
from dataclasses import dataclass
from math import isqrt

from tubepost.errors import BadInput
from tubepost.subjects import LOCAL

SKIP_LOCAL = 10
SKIP_REMOTE = 20

JITTER = 0.04
"""The most a try comes late, as a share of the wait before it. Below a tenth of qmail's gaps, so
that isqrt still finds the same step and the number of tries stays the same."""

_EXPONENTIAL = re.compile(
    r"exponential +(\d{1,6}(?:\.\d{1,3})?) +(\d{1,6}(?:\.\d{1,3})?) +(\d{1,6}(?:\.\d{1,3})?)"
)

EXPIRED = "I'm not going to try again; this message has been in the queue too long."


@dataclass(frozen=True, slots=True)
class Quadratic:
    """qmail's."""

    def wait(self, age: float, attempts: int, channel: str) -> float:
        """Seconds from now to the next try of a mail of that age."""
        skip = SKIP_LOCAL if channel == LOCAL else SKIP_REMOTE
        return (isqrt(max(0, int(age))) + skip) ** 2 - max(0.0, age)


@dataclass(frozen=True, slots=True)
class Exponential:
    """`first` seconds after the first try, then `factor` times as long, never above `most`."""

    first: float
    factor: float
    most: float

    def wait(self, age: float, attempts: int, channel: str) -> float:
        """Seconds from now to the next try after `attempts` tries."""
        wait = self.first
        for _ in range(attempts - 1):
            if wait >= self.most:
                break
            wait *= self.factor
        return min(wait, self.most)


Schedule = Quadratic | Exponential


@dataclass(frozen=True, slots=True)
class Rules:
    """`lifetime` in seconds; `jitter`: share of a wait, 0 = exactly the schedule."""

    lifetime: float = 604_800
    schedule: Schedule = Quadratic()
    jitter: float = JITTER

    def next_attempt(
        self, born: float, now: float, channel: str, attempts: int, chance: float = 0.0
    ) -> float:
        """The instant of the next try, in seconds since 1970. `chance`, 0 to 1, is the jitter."""
        wait = self.schedule.wait(now - born, attempts, channel)
        return max(now, born) + wait * (1 + self.jitter * chance)

    def is_last(self, born: float, now: float) -> bool:
        """Whether a try begun at `now` is the final one."""
        return now > born + self.lifetime


def chance(name: str) -> float:
    """0 to 1, always the same for the same name: what spreads mails deferred together."""
    return zlib.crc32(name.encode()) / 2**32


def parse(text: str) -> Schedule:
    """`qmail`, or `exponential FIRST FACTOR MOST` (seconds). Raises BadInput."""
    if text.strip() == "qmail":
        return Quadratic()
    found = _EXPONENTIAL.fullmatch(text.strip())
    if found:
        first, factor, most = (float(number) for number in found.groups())
        if 1 <= first <= most <= 604_800 and 1 <= factor <= 100:
            return Exponential(first, factor, most)
    raise BadInput(
        f"{text!r} is neither `qmail` nor `exponential FIRST FACTOR MOST`, "
        "with 1 <= FIRST <= MOST <= 604800 seconds and FACTOR from 1 to 100"
    )
