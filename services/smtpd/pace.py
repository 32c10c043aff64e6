"""How fast and how badly a client may go on: errors, tarpit, and the deadlines of DATA. Pure."""

from dataclasses import dataclass

UNKNOWN = 4
"""An unknown command counts as so many errors: who says only such is not a mail client."""

HOSTILE = 999
"""tarpitdelay: not a delay, the session ends (SPAMCONTROL, SMTPD-20)."""

GRACE = 600.0
"""Seconds of DATA before the rate of a client counts."""


@dataclass(slots=True)
class Tally:
    """What a session has done since its last mail. Recipients make up for errors, one each.

    Only 5xx replies are errors: a 4xx may be our own trouble, and a client that has more than
    maxrcpt recipients hears many a 452 and must yet be able to send its mail.
    """

    errors: int = 0
    recipients: int = 0

    def exhausted(self, limit: int) -> bool:
        """maxerrors is reached; 0 = never."""
        return bool(limit) and self.errors - self.recipients >= limit

    def delay(self, count: int, seconds: int) -> int:
        """Seconds the next reply waits; count 0 = never."""
        return seconds if count and max(self.errors, self.recipients) > count else 0


def data_deadline(now: float, *, began: float, octets: int, idle: float, rate: int) -> float:
    """Until when more of a mail has to come: within `idle` seconds, and `rate` octets a second.

    One octet a minute is never idle, so the whole has an end too (rate 0 = it has none).
    """
    return min(now + idle, began + GRACE + octets / rate) if rate else now + idle
