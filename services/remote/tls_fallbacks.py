"""Hosts whose TLS failed a moment ago: at level `may` they get mail in the clear for a while.

Memory of one process; lost with it. It never makes a session less than its policy demands: who
demands TLS does not ask it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from services.remote.mx import Host
from services.remote.tls import TlsProblem
from tubepost import maillog, metrics

SECONDS = 900.0
"""A host that was repaired, or a connection that died by chance, has TLS again after that."""

MOST = 1000
"""Hosts in memory; the oldest goes first."""


class Fallbacks:
    """By name, address and port: what a name's other addresses can do is another matter.

    The name is what SNI tells, and a zone may give any name to somebody else's address: what comes
    of that must not put the mail of others in the clear.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock, self._most = clock, most
        self._failed: OrderedDict[tuple[str, str, int], tuple[float, TlsProblem]] = OrderedDict()

    def known(self, host: Host) -> TlsProblem | None:
        """Why TLS is not tried with `host` now, None where it is."""
        found = self._failed.get((host.name, host.ip, host.port))
        if found is None:
            return None
        until, problem = found
        return problem if self._clock() < until else None

    def learn(self, host: Host, problem: TlsProblem | None) -> None:
        """A session stands; in the clear, although TLS is offered, because of `problem` if any."""
        if problem is None:
            return
        key = (host.name, host.ip, host.port)
        self._failed[key] = (self._clock() + SECONDS, problem)
        self._failed.move_to_end(key)
        if len(self._failed) > self._most:
            self._failed.popitem(last=False)
        maillog.tls_fallback(host.name, host.ip, problem.text)
        metrics.TLS_FALLBACKS.labels(problem.reason).inc()
