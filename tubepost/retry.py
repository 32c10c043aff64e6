"""When a deferred mail is tried again: qmail-send's quadratic schedule. Pure.

    next = created + (isqrt(now - created) + skip)^2, skip 10 for local and 20 for remote

so a remote mail is tried at 0, 400, 1600, 3600, 6400 ... seconds of age. The first try after
`lifetime` is the last one. Source: notqmail qmail-send.c, nextretry() and pass_dochan().
"""

from math import isqrt

from tubepost.subjects import LOCAL

SKIP_LOCAL = 10
SKIP_REMOTE = 20

EXPIRED = "I'm not going to try again; this message has been in the queue too long."


def next_attempt(created: float, now: float, channel: str) -> float:
    """The instant of the next try for a mail deferred at `now`. Both in seconds since 1970."""
    age = max(0, int(now - created))
    skip = SKIP_LOCAL if channel == LOCAL else SKIP_REMOTE
    return created + (isqrt(age) + skip) ** 2


def is_last(created: float, now: float, lifetime: float) -> bool:
    """Whether a try begun at `now` is the final one."""
    return now > created + lifetime
