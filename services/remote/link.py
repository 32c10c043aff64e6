"""Carries octets between a socket and the protocol machine, does TLS, and holds the clock.

It decides nothing: what octets mean is the machine's, what becomes of a session connection's.
"""

import asyncio
import socket
from collections import deque
from typing import cast

from services.remote.mx import Host
from services.remote.smtp.client import SmtpClient
from services.remote.smtp.events import Event, Phase, StartTls
from services.remote.terms import Terms
from services.remote.tls import LOST, Secured, TlsError, context, failure, secured, server_name

FAREWELL = 5.0
"""Seconds a peer has to take our QUIT."""


class Link(asyncio.Protocol):
    """Carries octets between the transport and the machine, and holds the clock."""

    def __init__(self, machine: SmtpClient, terms: Terms, *, tls_first: bool = False) -> None:
        self._machine, self._terms = machine, terms
        self._events: deque[Event] = deque()
        self._waiting: asyncio.Future[None] | None = None  # whoever wants the next event
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._timer: asyncio.TimerHandle | None = None
        self._early: list[bytes] | None = [] if tls_first else None  # until the handshake is judged
        self._wound_at = -1  # the machine's progress when the clock was wound
        self._until = 0.0  # when the time is up

    async def next_event(self) -> Event:
        """What the machine says next. One waits at a time."""
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._events.popleft()

    def go_on(self, events: list[Event]) -> None:
        """The machine was told something, and answered with `events`: what it wants said leaves."""
        for event in events:
            self._events.append(event)
            if isinstance(event, StartTls) and self._transport is not None:
                self._transport.pause_reading()  # what comes now belongs to the handshake
        if events and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if self._transport is not None and not self._transport.is_closing():
            self._pump(self._transport)
        self._wind_clock()

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
            self.go_on([])
        else:
            self.go_on(self._machine.receive(b"".join(early)))

    def quit(self) -> None:
        """QUIT where the peer listens to it, and out; waits for nothing."""
        self._machine.quit()
        transport = self._transport
        if transport is None:
            return
        self._stop_clock()
        behind = self._full or transport.get_write_buffer_size()
        if behind or self._machine.phase is not Phase.CLOSED:
            transport.abort()  # a peer that does not read must not keep the socket
            return
        transport.write(self._machine.data_to_send())
        transport.close()
        if transport.get_write_buffer_size():  # waiting for the peer to read it
            self._timer = asyncio.get_running_loop().call_later(FAREWELL, transport.abort)

    def abort(self) -> None:
        """Out, in the middle of whatever it is."""
        self._stop_clock()
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        if self._early is not None:
            self._transport.pause_reading()  # nothing in the clear is heard
        self.go_on([])

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            return
        self.go_on(self._machine.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # one that had TLS can be asked nothing any more
        self.go_on(self._machine.lost())

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.go_on([])

    # The clock and the way out

    def _pump(self, transport: asyncio.Transport) -> None:
        while not self._full and (data := self._machine.data_to_send()):
            transport.write(data)

    def _patience(self, phase: Phase | None = None) -> float:
        most = self._terms.reply_seconds
        return min(self._terms.patience.get(phase or self._machine.phase, most), most)

    def _wind_clock(self) -> None:
        """Afresh after each whole reply; a peer that trickles octets does not get more time.

        The timer itself is moved only when it would come too late: most of the time it goes off
        early, if at all, and sees that there is time left. Idle sessions are the pool's to end.
        """
        phase = self._machine.phase
        if phase in (Phase.CLOSED, Phase.HANDSHAKE):
            self._stop_clock()
        elif self._machine.progress != self._wound_at:
            self._wound_at = self._machine.progress
            if phase is not Phase.IDLE:
                self._set_clock(asyncio.get_running_loop().time() + self._patience())

    def _set_clock(self, until: float) -> None:
        self._until = until
        if self._timer is not None and self._timer.when() > until:
            self._stop_clock()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(until, self._time_up)

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_up(self) -> None:
        self._timer = None
        if self._machine.phase is Phase.IDLE:
            return
        if asyncio.get_running_loop().time() < self._until:
            self._set_clock(self._until)
            return
        self.go_on(self._machine.lost())
        self.abort()


async def connect(link: Link, host: Host, terms: Terms) -> None:
    """Joins `link` to a host. Raises OSError, TimeoutError among them."""
    source = terms.source.ip_for(host.ip)
    local = (source, 0) if source else None
    async with asyncio.timeout(terms.connect_seconds):
        await asyncio.get_running_loop().create_connection(
            lambda: link, host.ip, host.port, local_addr=local, flags=socket.AI_NUMERICHOST
        )
