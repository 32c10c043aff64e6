"""One SMTP session over asyncio: the socket, TLS and the clock around the protocol machine.

It decides nothing about mail: what octets mean is smtp_client's, which host comes next attempt's.
"""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from services.remote.events import Event, MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.mx import Host
from services.remote.smtp_client import SmtpClient
from services.remote.terms import Terms
from services.remote.tls import (
    LOST,
    Secured,
    TlsError,
    TlsProblem,
    context,
    failure,
    refusal,
    secured,
    server_name,
)
from services.remote.tls_fallbacks import Fallbacks
from tubepost.outcome import Outcome
from tubepost.record import Envelope
from tubepost.tls_policy import TlsPolicy


@dataclass(frozen=True, slots=True)
class TryNext:
    """This host got no MAIL command. `reason`: a sentence. `connected`: whether TCP did.

    `tls`: it is well, but has no TLS as this destination's policy demands it.
    """

    reason: str
    connected: bool
    reply: str = ""
    status: str = "4.4.2"
    tls: bool = False


@dataclass(slots=True)
class Opened:
    """How a session began, for metrics and for the operator. `tls`: such as `TLSv1.3`, "" = none.

    `handshake`: seconds TLS took; `connected`: seconds until TCP stood. `certificate`: the peer's,
    DER; `verified`: whether it is for the policy's names; at less than `verify` nobody looked.
    `in_clear`: why there is no TLS although it is offered.
    """

    connected: float = 0.0
    handshake: float = 0.0
    tls: str = ""
    cipher: str = ""
    certificate: bytes = b""
    verified: bool = False
    in_clear: TlsProblem | None = None


class Session:
    """A greeted connection that takes mails one after another: the seam for keeping it open."""

    def __init__(self, link: "_Link", machine: SmtpClient, opened: Opened) -> None:
        self._link, self._machine, self.opened = link, machine, opened

    @classmethod
    async def open(
        cls, host: Host, terms: Terms, fallbacks: Fallbacks | None = None
    ) -> "Session | TryNext":
        """Connects and greets; where TLS fails and need not be, once more without it.

        `fallbacks`: what is known of hosts, and learns; None: TLS is tried in any case.
        """
        demanded = terms.tls.demanded_at(host.port)
        known = None if demanded or fallbacks is None else fallbacks.known(host)
        try:
            session = await cls._open(host, terms, known)
        except TlsError as error:
            if demanded:
                return _unmet(host, error.problem)
            session = await cls._open(host, terms, error.problem)
        if fallbacks is not None and known is None and isinstance(session, Session):
            fallbacks.learn(host, session.opened.in_clear)
        return session

    @classmethod
    async def _open(
        cls, host: Host, terms: Terms, in_clear: TlsProblem | None
    ) -> "Session | TryNext":
        """`in_clear`: why TLS is not to be begun. Raises TlsError."""
        starttls = terms.tls.by_starttls(host.port) and in_clear is None
        machine = SmtpClient(host.ip, terms.source.helo, starttls=starttls)
        link = _Link(machine, terms, tls_first=terms.tls.from_the_start(host.port))
        began = time.monotonic()
        try:
            await _connect(link, host, terms)
        except OSError as error:  # TimeoutError is one of them
            return TryNext(f"{host.ip}: {_why(error)}", connected=False)
        session = cls(link, machine, Opened(connected=time.monotonic() - began, in_clear=in_clear))
        try:
            problem = await session._greet(host, terms.tls)
        except TlsError:
            session.close()
            raise
        except BaseException:
            link.abort()
            raise
        if problem is None:
            return session
        session.close()
        return TryNext(problem.text, connected=True, reply=problem.reply)

    async def _greet(self, host: Host, policy: TlsPolicy) -> Unusable | None:
        """Runs the greeting to its end; what went wrong, if anything did. Raises TlsError."""
        if policy.from_the_start(host.port):
            await self._secure(host)
        while True:
            match await self._link.next_event():
                case Ready(refused) if self.usable:
                    self._settle(policy, refused)
                    return None
                case Ready():
                    continue  # and lost since then: the next event says why
                case StartTls():
                    await self._secure(host)
                case Unusable() as problem:
                    if self._lost_to_tls(problem):
                        raise TlsError(LOST)
                    return problem
                case other:
                    raise RuntimeError(f"{other} before the first mail")  # a bug of ours

    def _lost_to_tls(self, problem: Unusable) -> bool:
        """Whether it broke off from STARTTLS on, before a word was said inside TLS."""
        wordless = problem.phase == Phase.EHLO and not problem.reply
        return problem.phase == Phase.STARTTLS or (wordless and bool(self.opened.tls))

    async def _secure(self, host: Host) -> None:
        began = time.monotonic()
        done = await self._link.start_tls(host)
        opened = self.opened
        opened.handshake = time.monotonic() - began
        opened.tls, opened.cipher = done.version, done.cipher
        opened.certificate, opened.verified = done.certificate, done.verified

    def _settle(self, policy: TlsPolicy, refused: str) -> None:
        """Takes the session as it is. Raises TlsError where it would have to be secure.

        `refused`: the reply to STARTTLS that was no 220, "" where it was not said.
        """
        if self.opened.tls:
            return
        if policy.demanded:
            raise TlsError(refusal(refused))
        if refused:
            self.opened.in_clear = refusal(refused)

    async def deliver(self, envelope: Envelope, body: bytes) -> Mapping[str, Outcome] | TryNext:
        """One mail. `usable` says afterwards whether another one may follow.

        TryNext: the peer ended the session before this mail, which wants a new one.
        """
        if not self.usable:
            return TryNext("The session is over.", connected=True)
        self._link.send_mail(envelope, body)
        while True:
            match await self._link.next_event():
                case MailEnd(outcomes):
                    return outcomes
                case other:
                    raise RuntimeError(f"{other} while a mail is under way")  # a bug of ours

    @property
    def usable(self) -> bool:
        return self._machine.phase is Phase.IDLE

    def close(self) -> None:
        """QUIT if the peer listens to it, and out; waits for nothing."""
        self._link.quit()


class _Link(asyncio.Protocol):
    """Carries octets between the transport and the machine, and holds the clock."""

    def __init__(self, machine: SmtpClient, terms: Terms, *, tls_first: bool = False) -> None:
        self._machine, self._terms = machine, terms
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._early: list[bytes] | None = [] if tls_first else None  # until the handshake is judged
        self._wound_at = -1  # the machine's progress when the clock was wound

    async def next_event(self) -> Event:
        return await self._events.get()

    def send_mail(self, envelope: Envelope, body: bytes) -> None:
        self._go_on(self._machine.send_mail(envelope, body))

    async def start_tls(self, host: Host) -> Secured:
        """The handshake, now. Raises TlsError."""
        transport, seconds = self._transport, self._patience(Phase.HANDSHAKE)
        if transport is None or transport.is_closing():
            raise TlsError(LOST)
        try:
            async with asyncio.timeout(seconds):
                upgraded = await asyncio.get_running_loop().start_tls(
                    transport,
                    self,
                    context(self._terms.tls.level, self._terms.ca_file),
                    server_hostname=server_name(host),
                    ssl_handshake_timeout=seconds + 1,  # ours comes first, and says so
                    ssl_shutdown_timeout=5.0,
                )
        except (OSError, ValueError) as error:  # ssl.SSLError and TimeoutError are OSErrors
            self.abort()
            self._transport = None  # uvloop's can be asked nothing any more
            raise TlsError(failure(error)) from error
        if upgraded is None:
            raise TlsError(LOST)
        self._transport = upgraded
        done = secured(upgraded.get_extra_info("ssl_object"), self._terms.tls, host)
        self._machine.tls = f"{done.version} {done.cipher}"
        self._secure_from_here()
        return done

    def _secure_from_here(self) -> None:
        early, self._early = self._early, None
        if early is None:
            self._machine.tls_started()
            self._go_on([])
        else:
            self._go_on(self._machine.receive(b"".join(early)))

    def quit(self) -> None:
        self._machine.quit()
        transport = self._transport
        if transport is None:
            return
        transport.write(self._machine.data_to_send())
        self._stop_clock()
        if transport.get_write_buffer_size() or self._full:
            transport.abort()  # a peer that does not read must not keep the socket
        else:
            transport.close()

    def abort(self) -> None:
        self._stop_clock()
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        if self._early is not None:
            self._transport.pause_reading()  # nothing in the clear is heard
        self._go_on([])

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            return
        self._go_on(self._machine.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on(self._machine.lost())

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._go_on([])

    # The clock and the way out

    def _go_on(self, events: list[Event]) -> None:
        for event in events:
            self._events.put_nowait(event)
            if isinstance(event, StartTls) and self._transport is not None:
                self._transport.pause_reading()  # what comes now belongs to the handshake
        if self._transport is not None and not self._transport.is_closing():
            self._pump(self._transport)
        self._wind_clock()

    def _pump(self, transport: asyncio.Transport) -> None:
        while not self._full and (data := self._machine.data_to_send()):
            transport.write(data)

    def _patience(self, phase: Phase | None = None) -> float:
        most = self._terms.reply_seconds
        return min(self._terms.patience.get(phase or self._machine.phase, most), most)

    def _wind_clock(self) -> None:
        """Afresh after each whole reply; a peer that trickles octets does not get more time."""
        if self._machine.phase in (Phase.CLOSED, Phase.HANDSHAKE):
            self._stop_clock()
        elif self._machine.progress != self._wound_at:
            self._stop_clock()
            self._wound_at = self._machine.progress
            self._timer = asyncio.get_running_loop().call_later(self._patience(), self._time_up)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_up(self) -> None:
        self._go_on(self._machine.lost())
        self.abort()


async def _connect(link: _Link, host: Host, terms: Terms) -> None:
    """Raises OSError, TimeoutError among them."""
    source = terms.source.ip_for(host.ip)
    local = (source, 0) if source else None
    async with asyncio.timeout(terms.connect_seconds):
        await asyncio.get_running_loop().create_connection(
            lambda: link, host.ip, host.port, local_addr=local, flags=socket.AI_NUMERICHOST
        )


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _unmet(host: Host, problem: TlsProblem) -> TryNext:
    text = f"Connected to {host.ip} but {problem.text}. (#{problem.status})"
    return TryNext(text, connected=True, status=problem.status, tls=True)
