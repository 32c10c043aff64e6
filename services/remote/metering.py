"""Counts sessions and attempts for Prometheus. Implements meter.Meter and remembering.Tried."""

from collections.abc import Callable, Mapping

from services.remote.connection import Opened
from services.remote.recent import Recent
from tubepost import metrics
from tubepost.outcome import Outcome


class Metering:
    """`clock`: seconds, only going forward. `measure` is for when /metrics is read."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._recent = clock, Recent()
        # Looked up once: `labels` costs more than to count.
        self._new, self._reused = (
            metrics.REMOTE_TRANSACTION_SECONDS.labels(session) for session in ("new", "reused")
        )

    def connected(self, seconds: float) -> None:
        """See Meter."""
        metrics.REMOTE_CONNECT_SECONDS.observe(seconds)

    def greeted(self, opened: Opened) -> None:
        """See Meter."""
        metrics.REMOTE_SESSIONS.labels(opened.tls or "none").inc()
        if opened.tls:
            metrics.REMOTE_TLS_SECONDS.observe(opened.handshake)

    def mail(self, reused: bool, seconds: float) -> None:
        """See Meter."""
        (self._reused if reused else self._new).observe(seconds)

    def failed(self, phase: str) -> None:
        """See Meter."""
        metrics.REMOTE_SESSIONS_FAILED.labels(phase).inc()

    def tried(self, destination: str, outcomes: Mapping[str, Outcome], seconds: float) -> None:
        """See Tried."""
        self._recent.add(self._clock(), destination, outcomes.values(), seconds)

    def measure(self) -> None:
        """Sets the gauges of destinations: those that are no longer among the busiest are gone."""
        metrics.REMOTE_RECENT.clear()
        metrics.REMOTE_RECENT_SECONDS.clear()
        for destination, tally in self._recent.top(self._clock()).items():
            for outcome, count in tally.recipients.items():
                metrics.REMOTE_RECENT.labels(destination, outcome).set(count)
            if tally.attempts:
                mean = tally.seconds / tally.attempts
                metrics.REMOTE_RECENT_SECONDS.labels(destination).set(mean)
