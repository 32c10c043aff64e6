"""What a session says, and how much it bears with its client: replies, errors, tarpit, timers.

Between aiosmtpd and Connection. There is one timer for each session: what puts the deadline off
sets a number, and the timer looks at it when it rings.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from math import inf
from typing import Any

from services.smtpd import pace, policy, replies
from services.smtpd.facts import Client
from services.smtpd.opening import Opening
from services.smtpd.pace import Tally
from services.smtpd.policies import hostile
from services.smtpd.refusal import Refusal
from tubepost import maillog, smtp_values
from tubepost.rate_limits import ERRORS
from tubepost.setting import Setting

LINGER = 10.0
"""Seconds in which a client has to take our last words."""


class Patience(Opening):
    """What a client's behaviour does to its session."""

    _client: Client
    _tally: Tally
    _deadline = inf
    _rings_at = inf
    _data_began = 0.0
    _data_octets = 0
    _said_all = False
    _offered_codes = False

    def push(self, status: str | bytes, code: str = "") -> Coroutine[Any, Any, None]:
        """Says a reply, with its enhanced code where the text has none. Only a 5xx costs more."""
        reply = str(status)
        return self._say_error(reply, code) if reply[0] == "5" else self._say(reply, code)

    async def _say(self, reply: str, code: str = "") -> None:
        self._writer.write(self._wire(reply, code))
        await self._writer.drain()

    def _wire(self, reply: str, code: str = "") -> bytes:
        session = self.session  # TLS begins a new one: what EHLO said before it is forgotten
        enhanced = self._offered_codes and session is not None and session.extended_smtp
        return replies.wire(reply, code, enhanced=enhanced)

    async def _say_error(self, reply: str, code: str) -> None:
        """A 5xx is an error of the client's; the last one that it may make ends the session."""
        self._tally.errors += 1
        await self._hold_back()
        await self._say(reply, code)
        if self._tally.exhausted(self._setting(smtp_values.MAXERRORS)):
            await self._refuse(hostile.ERRORS)
        else:
            await self._count_error()

    async def _count_error(self) -> None:
        """For the rate of errors, over all sessions of this client."""
        meter = self._listener.parts.meter
        if ERRORS not in meter.limits:
            return
        meter.count(ERRORS, self._client)
        load = meter.load(self._client.ip, self._client.rule)
        refusal = policy.refusal(policy.ERROR, replace(self._client, load=load))
        if refusal:
            await self._refuse(refusal)

    async def _refuse(self, refusal: Refusal, **facts: str) -> None:
        self._log_refusal(refusal, **facts)
        if not refusal.hang_up:
            await self.push(refusal.reply)
            return
        if refusal.reply.startswith("5"):
            self._listener.parts.meter.count(ERRORS, self._client)
        await self._say(refusal.reply)  # the last word: no second reply behind it
        self._hang_up()

    def _hang_up(self) -> None:
        """Nothing more is heard. Under TLS the connection lives on until the client agrees."""
        if not self._writer.is_closing():
            self._writer.close()
            self._linger()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        if self._original_transport is not None and self.session and self.session.ssl is None:
            self.connection_lost(None)  # amid STARTTLS nobody else tells us

    def _log_refusal(self, refusal: Refusal, **facts: str) -> None:
        client = {"client": self._client.ip, "helo": self._client.helo}
        maillog.refused(refusal.verdict, refusal.reply, {**client, **facts})

    def _setting(self, setting: Setting[int]) -> int:
        return self._listener.parts.control.get(setting)

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
            self._timed_out()

    def _stop_timeout(self) -> None:
        self._deadline = inf

    def _timed_out(self) -> None:
        """The client has let its deadline go by."""
        self._log_refusal(hostile.TIMEOUT)
        self._part_with(self._wire(hostile.TIMEOUT.reply))
        self._hang_up()

    def _linger(self) -> None:
        """A client that reads nothing does not keep the connection: it loses our last words."""
        transport = self._writer.transport
        if transport.get_write_buffer_size():
            self.loop.call_later(LINGER, transport.abort)
