"""Moments of a chaos run that a kill can be aimed at: something beats, whoever waits goes on."""

import asyncio

DOT_SENT = "dot sent"
"""A client has sent a whole mail and waits for the reply: smtpd is storing it."""

ACCEPTED = "accepted"
"""A client has read its 250: the scheduler hears of the mail, or splits it."""

ARRIVED = "arrived"
"""The sink has said 250: a worker is about to write the outcome."""

PATIENCE = 2.0
"""Seconds to wait for a moment that may not come."""


class Pulse:
    """Moments by name."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def beat(self, moment: str) -> None:
        """It is now."""
        waiting = self._waiting.pop(moment, None)
        if waiting and not waiting.done():
            waiting.set_result(None)

    async def next(self, moment: str) -> None:
        """Returns at the next beat, or after PATIENCE seconds without one."""
        if moment not in self._waiting:
            self._waiting[moment] = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._waiting[moment]}, timeout=PATIENCE)
