"""How much one destination is given at once: learnt from what it did with the last units. Pure.

It begins with a few; each answer allows one more, up to its limit, each failure to connect half as
many. Two failures with no answer between them, and nothing goes out to it for a while (qmail's
tcpto, shared by all workers); then one unit tries whether it is back.
"""

from math import inf

from tubepost.backoff import PATIENCE, until_hosts_open, wait
from tubepost.destination_limits import Limit

START = 5
"""Units at once for a destination nothing is known of."""

UNLIMITED = Limit(1_000_000)
"""Of a local destination: only its channel limits it."""


class Destination:
    """What is known of one destination. Times are seconds since 1970.

    `out`: units that are out for it. `window`: how many it is trusted with. `failures`: how often
    it could not be reached since its last answer; `error`: what the last one said. Nothing goes
    out before `until`.
    """

    __slots__ = (
        "_backed_off_at", "_next", "_slowed_at", "_start", "error", "failures", "limit", "out",
        "until", "window",
    )  # fmt: skip

    def __init__(self, limit: Limit, start: int = START) -> None:
        self.limit = limit
        self.window = self._start = start
        self.out = 0
        self.failures = 0
        self.error = ""
        self.until = 0.0
        self._backed_off_at = self._slowed_at = 0.0
        self._next = 0.0  # when the next unit would go if they went evenly (GCRA)

    @property
    def allowed(self) -> int:
        """Units that may be out at once."""
        return min(self.window, self.limit.concurrency)

    @property
    def backed_off(self) -> bool:
        """From its second failure until it answers, its probes included."""
        return self.failures >= PATIENCE

    @property
    def troubled(self) -> bool:
        """Whether it failed, and is trusted with no more than one unit."""
        return self.failures > 0 and self.window == 1

    def free_at(self, now: float) -> float:
        """When the next unit may go: an instant, `now` or earlier, or inf = once one came back."""
        if now < self.until:
            return self.until
        return inf if self.full else self.opens_at(now)

    @property
    def full(self) -> bool:
        """Whether as many are out as may be."""
        return self.out >= self.allowed

    @property
    def blank(self) -> bool:
        """Whether nothing was learnt of it."""
        return not self.failures and self.window == self._start

    @property
    def remembered_until(self) -> float:
        """How long it has to be kept, though nothing waits for it or is out."""
        return max(self.until, self._next) if self.limit.rate else self.until

    def went_out(self, now: float) -> None:
        self.out += 1
        if self.limit.rate:
            self._next = max(self._next, now) + 1 / self.limit.rate

    def came_back(self) -> None:
        self.out -= 1

    def undone(self) -> None:
        """The unit that came back had not been sent: it does not count for the rate."""
        if self.limit.rate:
            self._next -= 1 / self.limit.rate

    def suspected(self, error: str) -> None:
        """A record says that the last attempt did not reach it. Nobody here has tried it yet."""
        if self.blank:
            self.failures, self.window, self.error = 1, 1, error

    def answered(self) -> None:
        """A host of it spoke to us."""
        if self.backed_off:
            self.reopen()
        else:
            self.failures, self.window = 0, min(self.allowed + 1, self.limit.concurrency)

    def throttled(self, sent: float, now: float) -> None:
        """A host of it said to a unit that went out at `sent` that it gets too much.

        It is reached, and gets half as much. Those that were out already then say nothing new.
        """
        if self.backed_off:
            self.reopen()
        self.failures = 0
        if sent > self._slowed_at:
            self.window, self._slowed_at = max(1, self.allowed // 2), now

    def failed(self, sent: float, now: float, name: str, error: str, opens: float = 0.0) -> bool:
        """A unit that went out at `sent` did not reach it. True where it is backed off anew.

        Those that were out already when the back-off began say nothing new. `opens`: all its hosts
        are left alone until then, whoever met that; it has no need to find out, nor waits longer.
        """
        self.error = error
        if self.backed_off and sent <= self._backed_off_at:
            return False
        self.failures = max(self.failures + 1, PATIENCE if opens > now else 0)
        self.window = max(1, self.allowed // 2)
        if not self.backed_off:
            return False
        self.window, self._backed_off_at = 1, now
        own = now + wait(name, self.failures - PATIENCE)
        self.until = until_hosts_open(name, now, opens) if opens > now else own
        return True

    def reopen(self) -> None:
        """As if nothing was known of it."""
        self.failures, self.window, self.until = 0, self._start, 0.0

    def opens_at(self, now: float) -> float:
        """`opens`, where a rate was raised or a clock put back no later than the rate of now asks.

        Neither what went out at a slower rate nor what workers hold at a takeover counts for more
        than went out at once.
        """
        if self.limit.rate:
            self._next = min(self._next, now + max(1 / self.limit.rate, 1.0))
        return self.opens

    @property
    def opens(self) -> float:
        """The first instant its rate allows; a second's worth may go at once."""
        rate = self.limit.rate
        return self._next - (max(1.0, rate) - 1) / rate if rate else 0.0
