"""Sessions with other hosts, kept open for the next mail.

It chooses no host and judges no mail: it has a session ready, or opens one. A session is of one
address and port, on the same terms, and takes a mail only when it has nothing else to do.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from services.remote.connection import NotTaken, Session, TryNext
from services.remote.elsewhere import broke, joined, left_of
from services.remote.idle import IdleSessions, Limits, spent
from services.remote.meter import Meter, Uncounted
from services.remote.mx import Host
from services.remote.terms import Terms
from services.remote.tls_fallbacks import Fallbacks
from services.remote.too_many import at_once_for_the_rest
from tubepost import remote_values
from tubepost.control import Control
from tubepost.outcome import Outcome
from tubepost.record import Envelope
from tubepost.tls_policy import Level

SWEEP = 1.0
"""Seconds between two looks for sessions that have been idle too long."""

Key = tuple[str, int, str, Terms]

NO_REUSE = Limits(idle=0, life=0, mails=1)


def limits_of(control: Control) -> Callable[[], Limits]:
    """The limits in force, as the control settings say."""

    def limits() -> Limits:
        return Limits(
            idle=control.get(remote_values.CONNECTIONIDLE),
            life=control.get(remote_values.CONNECTIONLIFE),
            mails=control.get(remote_values.CONNECTIONMAILS),
        )

    return limits


class Pool:
    """The sessions of one process. Without `limits` each mail has a session of its own."""

    def __init__(
        self, limits: Callable[[], Limits] = lambda: NO_REUSE, meter: Meter | None = None
    ) -> None:
        self._limits, self._meter = limits, meter or Uncounted()
        self._idle: IdleSessions[Session] = IdleSessions()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False
        self._fallbacks = Fallbacks()

    @property
    def idle(self) -> int:
        """Sessions that wait for a mail now."""
        return len(self._idle)

    @contextlib.asynccontextmanager
    async def open_until(self, stopping: asyncio.Event) -> AsyncIterator[None]:
        """At `stopping` the idle sessions are closed; what is under way then is not kept."""

        async def close() -> None:
            await stopping.wait()
            self.close()

        closing = asyncio.create_task(close())
        try:
            yield
        finally:
            closing.cancel()
            self.close()

    def close(self) -> None:
        """Says QUIT to all that are idle; from now on none is kept. Waits for nothing."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for session in self._idle.clear():
            session.close()

    def idle_first(self, hosts: Sequence[Host], terms: Terms) -> Sequence[Host]:
        """Of the hosts that are as good as the first one, one with an idle session goes first.

        Not for ever the same one: a session ends after some mails, and then the order decides.
        """
        if not self._idle:
            return hosts
        for number, host in enumerate(hosts):
            if host.preference != hosts[0].preference:
                break
            if _key(host, terms) in self._idle:
                return [host, *hosts[:number], *hosts[number + 1 :]] if number else hosts
        return hosts

    async def send(
        self, host: Host, terms: Terms, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        """One mail to one host: an outcome for each recipient, or TryNext."""
        outcomes = await self._transaction(host, terms, envelope, body)
        return outcomes if isinstance(outcomes, TryNext) else at_once_for_the_rest(outcomes)

    async def _transaction(
        self, host: Host, terms: Terms, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        key, limits = _key(host, terms), self._limits()
        kept = self._idle.take(key, time.monotonic(), limits)
        if kept is not None:
            result = await self._through(kept, key, limits, envelope, body)
            if isinstance(result, TryNext) and result.end and broke(result.end):
                # It may have had enough of the mails before this one (`421 too many errors`).
                rest = left_of(envelope, result.end)
                return joined(result, await self._fresh(host, terms, rest, body))
            if not isinstance(result, NotTaken):
                return result
        return await self._fresh(host, terms, envelope, body)

    async def _fresh(
        self, host: Host, terms: Terms, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        key, limits = _key(host, terms), self._limits()
        session = await Session.open(host, terms, self._fallbacks)
        if isinstance(session, TryNext):
            self._meter.failed("greeting" if session.connected else "connect")
            return session
        self._meter.connected(session.opened.connected)
        self._meter.greeted(session.opened)
        return await self._through(session, key, limits, envelope, body)

    async def _through(
        self, session: Session, key: Key, limits: Limits, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        """One transaction; a session that was cut off in it, by whatever, is not used again."""
        began, reused = time.monotonic(), session.mails > 0
        try:
            result = await session.deliver(envelope, body)
        except BaseException:
            session.abort()
            raise
        now = time.monotonic()
        if not isinstance(result, NotTaken):
            self._meter.mail(reused, now - began)
        self._give_back(session, key, limits, now)
        return result

    def _give_back(self, session: Session, key: Key, limits: Limits, now: float) -> None:
        # What is in the clear for want of a handshake is so for this name only (tls_fallbacks).
        single = session.balked or session.opened.in_clear is not None
        if self._closed or not limits.idle or single or spent(session, now, limits):
            session.close()
            return
        for too_many in self._idle.keep(key, session, now):
            too_many.close()
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        for session in self._idle.over(time.monotonic(), self._limits()):
            session.close()
        again = len(self._idle) > 0
        self._sweeping = (
            asyncio.get_running_loop().call_later(SWEEP, self._sweep) if again else None
        )


def _key(host: Host, terms: Terms) -> Key:
    """A name that a certificate was checked against is not another name of the same address."""
    name = host.name if terms.tls.level is Level.VERIFY else ""
    return (host.ip, host.port, name, terms)
