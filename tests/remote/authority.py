"""A certificate authority for tests, and peers whose TLS is as good or as bad as a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.remote.smtp_peer import GREETING, STARTTLS, MemoryPeer

DAY = timedelta(days=1)


class Authority:
    """Signs certificates. `file`: its own, for those who trust it."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._made = 0
        own = _unsigned(name, name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def sign(
        self,
        *names: str,
        until: datetime | None = None,
        alone: bool = False,
        alternatives: bool = True,
    ) -> Path:
        """A file with a key and its certificate for `names`; the first is its common name too.

        `alone`: signed by itself; no `alternatives`: the common name is all it has.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (names[0], key) if alone else (self._name, self._key)
        builder = _unsigned(names[0], issuer, key, until)
        if alternatives:
            found = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(found, critical=False)
        signed = builder.sign(signer, hashes.SHA256())
        self._made += 1
        file = self._folder / f"{self._name}-{self._made}.pem"
        file.write_bytes(_key_pem(key) + _pem(signed))
        return file

    def server(
        self,
        *names: str,
        until: datetime | None = None,
        alone: bool = False,
        alternatives: bool = True,
    ) -> ssl.SSLContext:
        """A server's context with such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        file = self.sign(*names, until=until, alone=alone, alternatives=alternatives)
        context.load_cert_chain(file)
        return context


def _unsigned(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, until: datetime | None = None
) -> x509.CertificateBuilder:
    until = until or datetime.now(UTC) + DAY
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .issuer_name(_subject(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 10 * DAY)
        .not_valid_after(until)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(slots=True)
class TlsPeer:
    """A host that offers STARTTLS. `handshake`: its context; or in a word how it goes wrong.

    `garbage`: what follows 220 is not TLS; `closing`: nothing does; `silence`: nothing ever does.
    """

    handshake: ssl.SSLContext | str
    answers: dict[str, bytes] = field(default_factory=dict)
    ehlo: bytes = STARTTLS
    at_once: bool = False
    """TLS before the banner."""
    memory: type[MemoryPeer] = MemoryPeer
    sessions: list[MemoryPeer] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    """For each session whether it became so."""

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speaks with one client."""
        peer = self.memory(self.answers, ehlo=self.ehlo)
        self.sessions.append(peer)
        self.secure.append(False)
        if self.at_once and not await self._handshake(reader, writer):
            return
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(answer := peer.take(data))
            begins = peer.lines[-1] == "STARTTLS" and answer.startswith(b"220")
            if begins and not await self._handshake(reader, writer):
                return

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if isinstance(self.handshake, ssl.SSLContext):
            await writer.start_tls(self.handshake)
            self.secure[-1] = True
            return True
        if self.handshake != "closing":
            await reader.read(65536)  # the client's part of the handshake
        if self.handshake == "garbage":
            writer.write(b"this is not TLS\r\n")
        if self.handshake != "closing":
            await reader.read(-1)
        return False

    @contextlib.asynccontextmanager
    async def listening(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
        """A port where it listens.

        Not smtp_peer.listening: asyncio never tells a stream whose handshake failed that it is
        closed, and to wait for that is to wait for ever.
        """
        tasks: set[asyncio.Task[None]] = set()

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await self.meet(reader, writer)
                    writer.close()
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(meet, host, port)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def said(self, verb: str) -> int:
        """In how many sessions a client said `verb`."""
        return sum(any(line.startswith(verb) for line in s.lines) for s in self.sessions)

    @property
    def bodies(self) -> list[bytes]:
        """Of all sessions."""
        return [body for session in self.sessions for body in session.bodies]
