"""One SMTP session over asyncio: the socket, TLS and the clock around the protocol machine.

It decides nothing about mail: what octets mean is smtp_client's, which host comes next attempt's.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

from services.remote.events import Event, MailEnd, Phase, Ready, StartTls, Unusable
from services.remote.mx import Host
from services.remote.smtp_client import SmtpClient
from services.remote.terms import Terms
from tubepost.outcome import Outcome
from tubepost.record import Envelope


@dataclass(frozen=True, slots=True)
class TryNext:
    """This host got no MAIL command. `reason`: a sentence. `connected`: whether TCP did."""

    reason: str
    connected: bool
    reply: str = ""


@dataclass(slots=True)
class Opened:
    """How a session began, for metrics and for the operator. `tls`: such as `TLSv1.3`, "" = none.

    `handshake`: seconds TLS took; `connected`: seconds until TCP stood.
    """

    connected: float = 0.0
    handshake: float = 0.0
    tls: str = ""


class _TlsError(Exception):
    """The session ended between the peer's 220 to STARTTLS and the end of the second greeting."""


class Session:
    """A greeted connection that takes mails one after another: the seam for keeping it open."""

    def __init__(self, link: "_Link", machine: SmtpClient, opened: Opened) -> None:
        self._link, self._machine, self.opened = link, machine, opened

    @classmethod
    async def open(cls, host: Host, terms: Terms) -> "Session | TryNext":
        """Connects and greets; where TLS is offered and fails, once more without it."""
        try:
            return await cls._open(host, terms, starttls=True)
        except _TlsError:
            return await cls._open(host, terms, starttls=False)

    @classmethod
    async def _open(cls, host: Host, terms: Terms, *, starttls: bool) -> "Session | TryNext":
        machine = SmtpClient(host.ip, terms.source.helo, starttls=starttls)
        link = _Link(machine, terms)
        began = time.monotonic()
        try:
            await _connect(link, host, terms)
        except OSError as error:  # TimeoutError is one of them
            return TryNext(f"{host.ip}: {_why(error)}", connected=False)
        session = cls(link, machine, Opened(connected=time.monotonic() - began))
        try:
            problem = await session._greet(host)
        except BaseException:
            link.abort()
            raise
        if problem is None:
            return session
        session.close()
        return TryNext(problem.text, connected=True, reply=problem.reply)

    async def _greet(self, host: Host) -> Unusable | None:
        """Runs the greeting to its end; what went wrong, if anything did."""
        tls = False
        while True:
            match await self._link.next_event():
                case Ready() if self.usable:
                    return None
                case Ready():
                    continue  # and lost since then: the next event says why
                case StartTls():
                    tls = True
                    began = time.monotonic()
                    self.opened.tls = await self._link.start_tls(host)
                    self.opened.handshake = time.monotonic() - began
                case Unusable() as problem if not tls:
                    return problem
                case other:
                    raise _TlsError(f"after STARTTLS: {other}")

    @property
    def banner(self) -> str:
        """The peer's first words, with their code."""
        return self._machine.banner.said if self._machine.banner else ""

    @property
    def extensions(self) -> Mapping[str, str]:
        """What it offers, in the clear or, once TLS stands, inside it; none after HELO."""
        return self._machine.extensions

    async def ask(self, envelope: Envelope) -> Mapping[str, Outcome] | TryNext:
        """What the peer says of the recipients, without sending a mail; Delivered: it takes it."""
        if not self.usable:
            return TryNext("The session is over.", connected=True)
        self._link._go_on(self._machine.ask(envelope))
        match await self._link.next_event():
            case MailEnd(outcomes):
                return outcomes
            case other:
                raise RuntimeError(f"{other} while recipients are asked about")  # a bug of ours

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

    def __init__(self, machine: SmtpClient, terms: Terms) -> None:
        self._machine, self._terms = machine, terms
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._wound_at = -1  # the machine's progress when the clock was wound

    async def next_event(self) -> Event:
        return await self._events.get()

    def send_mail(self, envelope: Envelope, body: bytes) -> None:
        self._go_on(self._machine.send_mail(envelope, body))

    async def start_tls(self, host: Host) -> str:
        """The version of TLS. Raises _TlsError.

        Certificates are not verified: the other choice is plain text.
        """
        transport, seconds = self._transport, self._patience()
        if transport is None or transport.is_closing():
            raise _TlsError("the peer has closed")
        try:
            async with asyncio.timeout(seconds):
                secured = await asyncio.get_running_loop().start_tls(
                    transport,
                    self,
                    _tls_context(),
                    server_hostname=host.name if host.name != host.ip else "",
                    ssl_handshake_timeout=seconds,
                    ssl_shutdown_timeout=5.0,
                )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            transport.abort()
            raise _TlsError(str(error)) from error
        if secured is None:
            raise _TlsError("the peer has closed")
        self._transport = secured
        self._machine.tls_started()
        self._go_on([])
        return str(secured.get_extra_info("ssl_object").version())

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
        self._go_on([])

    def data_received(self, data: bytes) -> None:
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

    def _patience(self) -> float:
        most = self._terms.reply_seconds
        return min(self._terms.patience.get(self._machine.phase, most), most)

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


@cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
