"""The POP3 server on real sockets: bytes, faults, limits and shutdown."""

import asyncio
import io
import poplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from services.popauth.connection import LoginResult, Pop3Server, Pop3Service
from services.popauth.maildrop import Maildrop, open_maildrop
from tests.popauth.authority import FakeAuthority, fill, named

PASSWORDS = {"alice": "a", "bob": "b"}

MAILS = {
    "8-bit": b"Subject: =?utf-8?q?x?=\n\n" + bytes(range(256)).replace(b"\r", b"") * 20 + b"\n",
    "dots": b".\n..\n...\n\n.\n.a\nb.\n" * 50,
    "long lines": b"Subject: long\n\n" + (b"x" * 9_000 + b"\n") * 30,
    "one line": b"y" * 1_000,
    "large": b"Subject: large\n\n" + b"0123456789abcdef\n" * 60_000,
    "large without an end": b".\r\n" * 40_000 + b"z" * 900,
    "empty": b"",
}


@dataclass
class Running:
    """A server under test, and what it told."""

    server: Pop3Server
    address: tuple[str, int]
    counts: list[int]
    empty: asyncio.Event  # set while no session is open, once there was one


@asynccontextmanager
async def running(service: Pop3Service, **limits: int) -> AsyncIterator[Running]:
    counts: list[int] = []
    empty = asyncio.Event()

    def count(sessions: int) -> None:
        counts.append(sessions)
        if sessions == 0:
            empty.set()
        else:
            empty.clear()

    server = Pop3Server(service, on_sessions=count, **limits)
    try:
        yield Running(server, await server.start("127.0.0.1", 0), counts, empty)
    finally:
        await server.close(grace=5)


def service(home: Path, **changes: object) -> Pop3Service:
    authority = FakeAuthority(home, PASSWORDS)
    return Pop3Service(authority=authority, hostname="mail.example", **changes)  # type: ignore[arg-type]


class Client:
    """A client that sends lines and reads lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: tuple[str, int]) -> "Client":
        client = cls(*await asyncio.open_connection(*address))
        await client.line()
        return client

    async def line(self) -> str:
        return (await self.reader.readline()).decode()

    async def say(self, command: str) -> str:
        self.writer.write(command.encode() + b"\r\n")
        return await self.line()

    async def login(self, user: str = "alice") -> str:
        await self.say(f"USER {user}")
        return await self.say(f"PASS {PASSWORDS[user]}")

    async def rest(self) -> bytes:
        """Everything up to the end of the connection; nothing if it was cut."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


def expected_lines(text: bytes) -> list[bytes]:
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    return lines if lines[-1] else lines[:-1]


def read_all(address: tuple[str, int]) -> tuple[list[list[bytes]], list[int]]:
    """Every message by poplib, with the sizes LIST told, and then QUIT."""
    client = poplib.POP3(*address, timeout=20)
    client.user("alice")
    client.pass_("a")
    sizes = [int(row.split()[1]) for row in client.list()[1]]
    messages = [client.retr(number + 1)[1] for number in range(len(sizes))]
    client.quit()
    return messages, sizes


async def test_every_byte_on_disk_reaches_poplib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poplib, "_MAXLINE", 10_000)  # a client's own limit on a line
    files = {f"new/{number}.plain": mail for number, mail in enumerate(MAILS.values())}
    fill(tmp_path / "alice", files)
    async with running(service(tmp_path)) as run:
        messages, sizes = await asyncio.to_thread(read_all, run.address)
    assert messages == [expected_lines(mail) for mail in MAILS.values()]
    assert sizes == [sum(len(line) + 2 for line in lines) for lines in messages]


async def test_two_sessions_at_once_delete_different_mails(tmp_path: Path) -> None:
    files = {f"new/{named(n, b'%d' % n)}": b"%d" % n for n in range(1, 6)}
    folder = fill(tmp_path / "alice", files)
    async with running(service(tmp_path)) as run:
        first, second = await Client.connect(run.address), await Client.connect(run.address)
        for client in (first, second):
            assert (await client.login()).startswith("+OK 5 messages")
        await first.say("DELE 1")
        await second.say("DELE 2")
        assert await first.say("QUIT") == "+OK bye\r\n"
        assert (await second.say("RETR 3")).startswith("+OK")  # moved to cur/ by the first
        assert [await second.line() for _ in range(2)] == ["3\r\n", ".\r\n"]
        assert await second.say("RETR 1") == "-ERR unable to open that message\r\n"
        await second.say("DELE 3")
        assert await second.say("QUIT") == "+OK bye\r\n"
        await first.close()
        await second.close()
    assert [message.name for message in open_maildrop(folder).messages] == [
        named(4, b"4"),
        named(5, b"5"),
    ]
    assert list((folder / "new").iterdir()) == []


async def test_sessions_are_counted(tmp_path: Path) -> None:
    async with running(service(tmp_path)) as run:
        first, second = await Client.connect(run.address), await Client.connect(run.address)
        for client in (first, second):
            await client.say("QUIT")
            assert await client.line() == ""
            await client.close()
    assert run.counts == [1, 2, 1, 0]


async def test_more_clients_than_the_limit_are_turned_away(tmp_path: Path) -> None:
    async with running(service(tmp_path), session_limit=1) as run:
        first = await Client.connect(run.address)
        second = Client(*await asyncio.open_connection(*run.address))
        assert (await second.line()).startswith("-ERR [SYS/TEMP]")
        assert await second.line() == ""
        assert await first.say("NOOP") == "+OK\r\n"
        await first.close()
        await second.close()


async def test_silent_client_is_cut_off_and_deletes_nothing(tmp_path: Path) -> None:
    folder = fill(tmp_path / "alice", {"new/1.a": b"one"})
    async with running(service(tmp_path, idle_seconds=0.2)) as run:
        client = await Client.connect(run.address)
        await client.login()
        await client.say("DELE 1")
        assert await client.line() == ""
        await client.close()
    assert (folder / "new/1.a").exists()


async def test_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    fill(tmp_path / "alice", {"new/1.a,W=1": b"x" * 30_000_000})
    async with running(service(tmp_path, idle_seconds=0.2)) as run:
        client = await Client.connect(run.address)
        await client.login()
        client.writer.write(b"RETR 1\r\n")
        await run.empty.wait()
        assert run.counts == [1, 0]
        await client.close()


async def test_bug_in_the_maildrop_ends_only_that_session(tmp_path: Path) -> None:
    faults: list[str] = []

    def broken(folder: Path) -> Maildrop:
        if folder.parent.name == "bob":
            raise ValueError("a mistake of ours")
        return open_maildrop(folder)

    made = service(tmp_path, open_drop=broken, on_fault=faults.append)
    async with running(made) as run:
        bob, alice = await Client.connect(run.address), await Client.connect(run.address)
        bob.writer.write(b"USER bob\r\nPASS b\r\n")
        assert b"+OK 0 messages" not in await bob.rest()
        assert (await alice.login()).startswith("+OK 0 messages")
        await bob.close()
        await alice.close()
    assert faults == ["POP3 session"]


async def test_maildrop_that_cannot_be_read_is_a_temporary_fault(tmp_path: Path) -> None:
    (tmp_path / "alice" / "Maildir").mkdir(parents=True)
    (tmp_path / "alice" / "Maildir" / "new").write_text("no folder")
    faults: list[str] = []
    async with running(service(tmp_path, on_fault=faults.append)) as run:
        client = await Client.connect(run.address)
        assert await client.login() == "-ERR [SYS/TEMP] unable to open the maildrop now\r\n"
        await client.close()
    assert faults == [f"POP3: unable to open {tmp_path}/alice/Maildir"]


class FailingFile(io.BytesIO):
    """A file whose disk breaks after the first block."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(size)


class FailingDrop(Maildrop):
    def open(self, index: int) -> BinaryIO:
        return FailingFile(b"x" * 100_000)


async def test_half_a_message_never_looks_whole(tmp_path: Path) -> None:
    folder = fill(tmp_path / "alice", {"new/1.a": b"one"})
    faults: list[str] = []

    def failing(folder: Path) -> Maildrop:
        return FailingDrop(folder, open_maildrop(folder).messages, ["new/1.a"])

    made = service(tmp_path, open_drop=failing, on_fault=faults.append)
    async with running(made) as run:
        client = await Client.connect(run.address)
        await client.login()
        client.writer.write(b"DELE 1\r\nRSET\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
        assert b"\r\n.\r\n" not in await client.rest()
        await client.close()
    assert faults == ["POP3 session"]
    assert (folder / "new/1.a").exists()


class SlowAuthority(FakeAuthority):
    """Answers a login when it is let go."""

    def __init__(self, homes: Path) -> None:
        super().__init__(homes, PASSWORDS)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def login(self, user: str, password: str, client_ip: str) -> LoginResult:
        self.begun.set()
        await self.go.wait()
        return await super().login(user, password, client_ip)


async def test_close_ends_idle_sessions_at_once_and_running_commands_in_order(
    tmp_path: Path,
) -> None:
    folder = fill(tmp_path / "alice", {"new/1.a": b"one"})
    authority = SlowAuthority(tmp_path)
    async with running(Pop3Service(authority=authority, hostname="h")) as run:
        idle, busy = await Client.connect(run.address), await Client.connect(run.address)
        busy.writer.write(b"USER alice\r\nPASS a\r\nDELE 1\r\nQUIT\r\n")
        await authority.begun.wait()
        closing = asyncio.create_task(run.server.close(grace=20))
        assert await idle.line() == "-ERR [SYS/TEMP] shutting down\r\n"
        assert await idle.line() == ""
        authority.go.set()
        rest = (await busy.rest()).decode().splitlines()
        assert rest == ["+OK", "+OK 1 messages (5 octets)", "-ERR [SYS/TEMP] shutting down"]
        await closing
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection(*run.address)
        await idle.close()
        await busy.close()
    assert (folder / "new/1.a").exists()
    assert run.counts[-1] == 0


async def test_close_cuts_what_does_not_end_within_the_grace(tmp_path: Path) -> None:
    authority = SlowAuthority(tmp_path)
    async with running(Pop3Service(authority=authority, hostname="h")) as run:
        client = await Client.connect(run.address)
        client.writer.write(b"USER alice\r\nPASS a\r\n")
        await authority.begun.wait()
        await run.server.close(grace=0.05)
        assert run.counts == [1, 0]
        await client.close()


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "cert.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    cert = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert)
    trusting = ssl.create_default_context(cafile=str(cert))
    fill(tmp_path / "alice", {"new/1.a": b"one\n"})

    def fetch(address: tuple[str, int]) -> list[bytes]:
        client = poplib.POP3_SSL(*address, context=trusting, timeout=20)
        client.user("alice")
        client.pass_("a")
        lines = client.retr(1)[1]
        client.quit()
        return lines

    server = Pop3Server(service(tmp_path))
    address = await server.start("127.0.0.1", 0, tls)
    assert await asyncio.to_thread(fetch, address) == [b"one"]
    await server.close(grace=5)
