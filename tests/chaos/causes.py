"""Why a second copy of a mail was made, as far as times and logs tell. Pure."""

from collections.abc import Mapping, Sequence

from tests.chaos.kills import NATS, Kill
from tests.chaos.sink import Arrival
from tests.chaos.workload import Due, due

RFC1047 = "rfc1047"
"""The worker was killed between the peer's 250 and its own write."""

BOUNCE_AGAIN = "bounce-again"
"""A nats-server was killed between two bounces for the same failure: it may forget ids."""

REVIVED = "revived"
"""The outcome was stored, and a nats-server killed later did not remember it."""

BUS = "bus"
"""A nats-server was killed about then, but the worker lived: that is no excuse."""

UNEXPLAINED = "unexplained"

EXCUSED = frozenset({RFC1047, BOUNCE_AGAIN})
"""What docs/message-lifecycle.md allows."""

WINDOW = 1.0
"""Seconds in which a worker stores an outcome while the bus is there; it takes milliseconds."""

ELECTION = 15.0
"""Seconds for which a killed nats-server may keep a write waiting."""

SLACK = 0.05
"""Seconds the readings of two processes may be apart."""


class Causes:
    """`stored`: when, by worker and recipient; `worker_at`: names of workers by their IP."""

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        kills: Sequence[Kill],
        stored: Mapping[tuple[str, str], Sequence[float]],
        worker_at: Mapping[str, str],
    ) -> None:
        self._arrivals = {(a.address, a.at): a for a in arrivals}
        self._kills = sorted(kills, key=lambda kill: kill.at)
        self._stored, self._worker_at = stored, worker_at

    def of(self, address: str, first: float, second: float) -> tuple[str, str]:
        """The cause of the copy at `second`, after the one at `first`; and how we know."""
        match due(address):
            case Due.SINK:
                return self._of_arrival(address, first, second)
            case Due.BOUNCE if bus := self._last(NATS, first - ELECTION, second):
                return BOUNCE_AGAIN, f"{bus.name} was killed {second - bus.at:.1f} s before"
        return UNEXPLAINED, "two files"

    def _of_arrival(self, address: str, first: float, second: float) -> tuple[str, str]:
        client = self._arrivals[address, first].client
        worker = self._worker_at.get(client, client)
        killed = self._first(worker, first - SLACK, second)
        stored = [at for at in self._stored.get((worker, address), ()) if at >= first - SLACK]
        if killed and not (stored and stored[0] < killed.at):
            waited = self._last(NATS, first - ELECTION, killed.at)
            if killed.at - first <= WINDOW or waited:
                longer = f" ({waited.name} was away)" if waited else ""
                milliseconds = (killed.at - first) * 1000
                return RFC1047, f"{worker} was killed {milliseconds:.0f} ms after its 250{longer}"
        told = f"{worker} had it, stored it {_after(stored[:1], first)}"
        told += f", was killed {_after([killed.at] if killed else [], first)}"
        bus = self._last(NATS, first - ELECTION, second)
        if bus is None:
            return UNEXPLAINED, told
        revived = stored and stored[0] < bus.at
        told += f"; {bus.name} was killed {_after([bus.at], first)}"
        return REVIVED if revived else BUS, told

    def _between(self, name: str, begin: float, end: float) -> list[Kill]:
        return [k for k in self._kills if k.name.startswith(name) and begin <= k.at <= end]

    def _first(self, name: str, begin: float, end: float) -> Kill | None:
        return next(iter(self._between(name, begin, end)), None)

    def _last(self, name: str, begin: float, end: float) -> Kill | None:
        return next(reversed(self._between(name, begin, end)), None)


def _after(times: Sequence[float], first: float) -> str:
    return f"{times[0] - first:+.3f} s" if times else "never"
