"""SMTP peers for tests: one in memory that answers by a table, and sockets to put it behind."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.remote.connection import Session, TryNext
from services.remote.mx import Host
from services.remote.terms import Source, Terms
from tubepost.outcome import Outcome
from tubepost.record import Envelope

GREETING = b"220 peer.example ESMTP\r\n"
PLAIN = b"250 peer.example\r\n"
PIPELINING = b"250-peer.example\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"
STARTTLS = b"250-peer.example\r\n250 STARTTLS\r\n"

TERMS = Terms(source=Source(helo="me.example"), connect_seconds=5.0, reply_seconds=5.0)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class MemoryPeer:
    """Answers each line by its longest known beginning; `b""`: nothing more from there on."""

    def __init__(
        self, answers: dict[str, bytes] | None = None, *, ehlo: bytes = PIPELINING
    ) -> None:
        self.answers = {
            "EHLO": ehlo,
            "HELO": b"250 peer.example\r\n",
            "STARTTLS": b"220 go ahead\r\n",
            "RSET": b"250 flushed\r\n",
            "MAIL": b"250 sender ok\r\n",
            "RCPT": b"250 recipient ok\r\n",
            "DATA": b"354 go ahead\r\n",
            ".": b"250 2.0.0 queued as 42\r\n",
            "QUIT": b"221 bye\r\n",
        } | (answers or {})
        self.lines: list[str] = []
        self.bodies: list[bytes] = []
        self._buffer = b""
        self._in_body = False
        self._mute = False

    def take(self, data: bytes) -> bytes:
        """Octets from the client in, the answers to them out."""
        self._buffer += data
        out = b""
        while True:
            if self._in_body:
                if self._buffer.startswith(b".\r\n"):
                    body, self._buffer = b"", self._buffer[3:]
                elif b"\r\n.\r\n" in self._buffer:
                    body, _, self._buffer = self._buffer.partition(b"\r\n.\r\n")
                    body += b"\r\n"
                else:
                    return out
                self.bodies.append(body)
                self._in_body = False
                out += self._say(self.answers["."])
            elif b"\r\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\r\n")
                out += self._say(self._answer(line.decode()))
            else:
                return out

    def _say(self, answer: bytes) -> bytes:
        self._mute |= not answer
        return b"" if self._mute else answer

    def _answer(self, line: str) -> bytes:
        self.lines.append(line)
        known = [begin for begin in self.answers if begin != "." and line.startswith(begin)]
        answer = self.answers[max(known, key=len)] if known else b"500 what?\r\n"
        self._in_body = line == "DATA" and answer.startswith(b"3")
        return answer


@contextlib.asynccontextmanager
async def listening(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """A port where `handler` meets each client. Its connections are closed at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(meet, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def speaking(peer: MemoryPeer, greeting: bytes = GREETING) -> Handler:
    """A handler that lets `peer` speak over a socket."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while data := await reader.read(65536):
            writer.write(peer.take(data))
            await writer.drain()

    return handler


async def send(
    host: Host, port: int, envelope: Envelope, body: bytes, terms: Terms
) -> Mapping[str, Outcome] | TryNext:
    """One mail on a connection of its own."""
    session = await Session.open(replace(host, port=port), terms)
    if isinstance(session, TryNext):
        return session
    try:
        return await session.deliver(envelope, body)
    finally:
        session.close()


def server_context(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a fresh self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "peer.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
