"""How a connection begins where it does not begin with our greeting: PROXY header, then TLS.

Only listeners marked `proxy`, and those with TLS from the first octet (RFC 8314 3.3), come here. A
header is in the clear, so it is read before the handshake; what came behind it is the client's.
"""

import asyncio
from asyncio.sslproto import SSLProtocol

from aiosmtpd.smtp import SMTP

from services.smtpd import proxy
from services.smtpd.facts import Client
from services.smtpd.listener import Listener
from services.smtpd.refusal import Refusal
from tubepost import maillog
from tubepost.errors import BadInput

NOT_BELIEVED = Refusal(
    "proxy", "421 sorry, a PROXY header from your address is not believed (#4.7.0)", True
)
"""Temporary: most likely our `proxynetworks` does not name a balancer of ours yet."""


class Opening(SMTP):
    """The first octets of a connection."""

    _listener: Listener
    _opening = False

    async def _opened(self, ip: str) -> Client | None:
        """The client, once it may be greeted; None: there is nobody to talk to any more."""
        tls = self._listener.kind.implicit_tls
        through_proxy = self._listener.proxy and self._listener.parts.gather.is_proxy(ip)
        if not (through_proxy or tls):
            return self._known(ip)
        meter = self._listener.parts.meter
        self._opening, greetable = True, False
        meter.openings += 1
        try:
            client = await self._begun(ip, through_proxy=through_proxy)
            greetable = client is not None and (not tls or await self._secured(client.ip))
        finally:
            meter.openings -= 1
            if not greetable:
                self._abandon()
        self._opening = False
        return client if greetable else None

    async def _begun(self, ip: str, *, through_proxy: bool) -> Client | None:
        """Who it is. Those who only begin, and those who have begun, share the process's limit."""
        if self._listener.parts.meter.overfull:
            maillog.refused("concurrencyincoming", "", {"client": ip})
            return None
        return await self._told(ip) if through_proxy else self._known(ip)

    async def _told(self, proxy_ip: str) -> Client | None:
        """Whom the header names. Without one the proxy is hung up on."""
        try:
            async with asyncio.timeout(self._listener.opening_seconds):
                header = await self._header()
        except (BadInput, OSError) as error:
            why = str(error) or "not all of it came in time"
            maillog.proxy_broken(self._listener.name, proxy_ip, why)
            return None
        if header is None:
            return None
        return self._known(header.client or proxy_ip)

    async def _header(self) -> proxy.Header | None:
        """None: the connection ended without an octet, which is how balancers look if we live."""
        octets = await self._reader.read(proxy.LONGEST)
        if not octets:
            return None
        while (header := proxy.parse(octets)) is None:
            block = await self._reader.read(proxy.LONGEST)
            if not block:
                raise BadInput("a PROXY header that does not end")
            octets += block
        self._unread(octets[header.length :])
        return header

    async def _secured(self, ip: str) -> bool:
        """Whether TLS has begun. Who speaks the PROXY protocol to us unasked gets no further."""
        try:
            async with asyncio.timeout(self._listener.opening_seconds):
                first = await self._reader.read(proxy.LONGEST)
                if not first or self._refuses_header(first, ip):
                    return False
                self._unread(first)
                await self._begin_tls()
        except OSError as error:
            maillog.tls_failed(self._listener.name, ip, str(error) or "not begun in time")
            return False
        return True

    def _refuses_header(self, octets: bytes, ip: str) -> bool:
        """No reply: whoever waits for TLS would not understand it."""
        if not octets.startswith((proxy.TEXT, proxy.BINARY)):
            return False
        maillog.refused(NOT_BELIEVED.verdict, "", {"client": ip})
        return True

    def _known(self, ip: str) -> Client:
        return self._listener.parts.gather.about_client(ip, self._listener.kind)

    async def _begin_tls(self) -> None:
        """A server's handshake, with the octets that are here already. Raises OSError."""
        rest = self._all_there_is()
        done = self.loop.create_future()
        plain = self.transport
        if plain is None or self.tls_context is None:
            raise ConnectionResetError("gone before the handshake")
        tls = SSLProtocol(self.loop, self, self.tls_context, done, server_side=True)
        self._tls_protocol, self._original_transport = tls, plain
        plain.set_protocol(tls)
        tls.connection_made(plain)
        while rest:
            buffer = tls.get_buffer(len(rest))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            tls.buffer_updated(size)
            rest = rest[size:]
        await done
        if self.session is None or self.session.ssl is None:
            raise ConnectionResetError("gone in the handshake")

    def _unread(self, rest: bytes) -> None:
        """What was read too much goes back in front of what has come since."""
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        buffer[:0] = rest

    def _all_there_is(self) -> bytes:
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        octets = bytes(buffer)
        buffer.clear()
        self._reader._maybe_resume_transport()  # type: ignore[attr-defined]
        return octets

    def _part_with(self, words: bytes) -> None:
        """The last words, to who has heard a first one, and has not been told to go already."""
        if not self._opening and not self._writer.is_closing():
            self._writer.write(words)

    def _left(self) -> None:
        """Its listener counts it no more."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Ends it without a word: nobody has been greeted."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        plain = self._original_transport or self.transport
        if plain is not None:
            plain.abort()  # type: ignore[attr-defined]
        self._left()
