"""One listener more on an smtpd of a test: another kind, behind a load balancer, on IPv6."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from services.smtpd.facts import Kind
from services.smtpd.listener import OPENING, Listener, Parts
from services.smtpd.proxy import BINARY
from services.smtpd.session import sessions
from tests.smtpd.client import Client
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost import metrics

GREETING = "220 mail.example ESMTP"
LOCAL = BINARY + b"\x20\x00\x00\x00"
SHORT = 0.2
"""Seconds for what shall not come."""


@contextlib.asynccontextmanager
async def listening(
    smtpd: Smtpd,
    kind: Kind,
    tls: ssl.SSLContext | None = None,
    *,
    proxy: bool = False,
    host: str = "127.0.0.1",
    opening_seconds: float = OPENING,
) -> AsyncIterator[int]:
    """Its port; in `smtpd.listeners` it is "extra"."""
    parts = Parts(smtpd.bus, smtpd.control, smtpd.gather, smtpd.intake, lookups=smtpd.lookups)
    listener = Listener("extra", kind, parts, tls, proxy, opening_seconds)
    smtpd.listeners["extra"] = listener
    server = await asyncio.get_running_loop().create_server(sessions(listener), host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await listener.drain(PATIENCE)


class RawClient(Client):
    """A client that hears octets, too."""

    async def hear(self) -> bytes:
        """What comes next; b"" where the server has closed."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read(65_536)
            except ConnectionError:
                return b""

    async def all_that_comes(self) -> bytes:
        """Until the server closes."""
        heard = b""
        while block := await self.hear():
            heard += block
        return heard

    async def offers(self) -> list[str]:
        """What EHLO is answered with, without codes."""
        await self.say(b"EHLO laptop\r\n")
        found: list[str] = []
        while not found or found[-1][3] == "-":
            async with asyncio.timeout(PATIENCE):
                found.append((await self._reader.readline()).decode().rstrip())
        return [line[4:] for line in found]


@contextlib.asynccontextmanager
async def raw(port: int, host: str = "127.0.0.1") -> AsyncIterator[RawClient]:
    """A client that has neither said nor heard anything."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def told(ip: str) -> bytes:
    """What a load balancer says of a client."""
    family = "TCP6" if ":" in ip else "TCP4"
    return f"PROXY {family} {ip} {ip} 40000 25\r\n".encode()


def refused() -> float:
    """PROXY headers that were not believed."""
    value: float = metrics.MAILS_REFUSED.labels("proxy")._value.get()
    return value


async def trust(smtpd: Smtpd, *networks: str) -> None:
    """Balancers are believed from there; from loopback where nothing is given."""
    await smtpd.set(proxynetworks=networks or ("127.0.0.1", "::1"))


async def all_left(smtpd: Smtpd) -> None:
    """Waits until the extra listener has no session."""
    listener = smtpd.listeners["extra"]
    while listener.sessions:
        listener.emptied.clear()
        await asyncio.wait_for(listener.emptied.wait(), PATIENCE)
