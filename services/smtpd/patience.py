"""How long and how much a session bears with its client: timers, errors, tarpit.

Between aiosmtpd and Connection. There is one timer for each session: what puts the deadline off
sets a number, and the timer looks at it when it rings.
"""

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from aiosmtpd.smtp import SMTP

from services.smtpd import pace
from services.smtpd.facts import Client
from services.smtpd.listener import Listener
from services.smtpd.pace import Tally
from services.smtpd.policies import hostile
from services.smtpd.refusal import Refusal
from tubepost import maillog, smtp_values
from tubepost.setting import Setting

LINGER = 10.0
"""Seconds in which a client has to take our last words."""


class Patience(SMTP):
    """What a client's behaviour does to its session."""

    _listener: Listener
    _client: Client
    _tally: Tally
    _deadline = inf
    _rings_at = inf
    _data_began = 0.0
    _data_octets = 0
    _said_all = False

    def _hang_up(self) -> None:
        raise NotImplementedError

    def _timeout_cb(self) -> None:
        raise NotImplementedError

    async def _refuse(self, refusal: Refusal, **facts: str) -> None:
        raise NotImplementedError

    async def _count_error(self) -> None:
        """For the rate of errors, over all sessions of this client."""
        raise NotImplementedError

    def _log_refusal(self, refusal: Refusal, **facts: str) -> None:
        client = {"client": self._client.ip, "helo": self._client.helo}
        maillog.refused(refusal.verdict, refusal.reply, {**client, **facts})

    def _setting(self, setting: Setting[int]) -> int:
        return self._listener.parts.control.get(setting)

    async def _say_error(
        self, push: Callable[..., Coroutine[Any, Any, None]], reply: str, *code: str
    ) -> None:
        """A 5xx is an error of the client's; the last one that it may make ends the session."""
        self._tally.errors += 1
        await self._hold_back()
        await push(reply, *code)
        if self._tally.exhausted(self._setting(smtp_values.MAXERRORS)):
            await self._refuse(hostile.ERRORS)
        else:
            await self._count_error()

    async def _hold_back(self) -> None:
        """Tarpit: the reply waits. Never one for a mail that was taken: it would come again."""
        count = self._setting(smtp_values.TARPITCOUNT)
        seconds = self._tally.delay(count, self._setting(smtp_values.TARPITDELAY)) if count else 0
        if seconds == pace.HOSTILE:
            await self._refuse(hostile.TARPIT)
        elif seconds:
            self._stop_timeout()  # the client waits for us now, not we for it
            await asyncio.sleep(seconds)  # hanging up cancels it
            self._reset_timeout()

    async def _talks_early(self) -> bool:
        """Waits `greetdelay` with the greeting: whether the client has said something before."""
        seconds = self._setting(smtp_values.GREETDELAY)
        if not seconds or self._client.rule.relays or self._client.kind.auth_required:
            return False
        self._stop_timeout()
        try:
            async with asyncio.timeout(seconds):
                early = await self._reader.read(1)
        except TimeoutError:
            early = b""
        self._reset_timeout()
        return bool(early)  # who only closes, as a health check does, has said nothing

    def _await_data(self, octets: int) -> None:
        """So many octets of a mail have come; 0 = DATA begins."""
        now = self.loop.time()
        if not octets:
            self._data_began, self._data_octets = now, 0
        self._data_octets += octets
        deadline = pace.data_deadline(
            now,
            began=self._data_began,
            octets=self._data_octets,
            idle=min(self._timeout_duration, self._setting(smtp_values.TIMEOUTDATA)),
            rate=self._setting(smtp_values.DATARATE),
        )
        self._ring_at(deadline)

    def _reset_timeout(self, duration: float | None = None) -> None:
        self._ring_at(self.loop.time() + (duration or self._timeout_duration))

    def _ring_at(self, deadline: float) -> None:
        self._deadline = deadline
        if deadline < self._rings_at:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._rings_at = deadline
            self._timeout_handle = self.loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._rings_at = inf
        if self.transport is None or self._deadline == inf:
            return
        if self._deadline > self.loop.time():
            self._ring_at(self._deadline)
        else:
            self._timeout_cb()

    def _stop_timeout(self) -> None:
        self._deadline = inf

    def _linger(self) -> None:
        """A client that reads nothing does not keep the connection: it loses our last words."""
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            self.loop.call_later(LINGER, transport.abort)
