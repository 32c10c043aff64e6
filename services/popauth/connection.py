"""POP3 on asyncio: the shell around pop3.Session, and the server that accepts and drains.

It carries out what the machine asks for and decides nothing of the protocol. It must not know how
a password is checked or a relay opened: that is the Authority's. A fault behind us is answered
with [SYS/TEMP] (RFC 3206), never with a refusal, and nothing is deleted but by a QUIT in full.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, assert_never

from services.popauth.maildrop import BLOCK, Maildrop, open_maildrop
from services.popauth.multiline import Multiline
from services.popauth.pop3 import (
    Action,
    Answer,
    Close,
    Commit,
    Fetch,
    KeptOut,
    Login,
    OpenDrop,
    Opened,
    Result,
    Send,
    Session,
)
from tubepost.bookings import Books
from tubepost.errors import Unavailable

_READ = 4096  # also what a client may pipeline before it has to wait
_HANG_UP_SECONDS = 5.0
_HANDSHAKE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The password is right and the relay is open for this client. Mail is in home/Maildir.

    `books`: where the account or its domain has a quota.
    """

    account: str
    home: Path
    books: Books | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Not this user with this password. `reason` is for our log, never for the client.

    `text`: for the client, only where the password was right: the account may not log in.
    """

    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TryLater:
    """The password could not be checked."""


LoginResult = Accepted | Refused | TryLater


class Authority(Protocol):
    """Says who somebody is."""

    async def login(self, user: str, password: str, client_ip: str) -> LoginResult:
        """Checks a password and opens the relay for `client_ip`. Unavailable means TryLater."""
        ...


def report(what: str) -> None:
    """Where faults go unless the service says otherwise: the standard log, with the traceback."""
    logging.getLogger(__name__).exception(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Service:
    """What every session of a server shares.

    `idle_seconds`: a client silent, or not reading, for so long is cut off (RFC 1939 section 3
    wants 600 or more). `on_fault(what)` is called from an except block.
    """

    authority: Authority
    hostname: str
    idle_seconds: float = 600.0
    open_drop: Callable[[Path], Maildrop] = open_maildrop
    on_fault: Callable[[str], None] = report


class Connection:
    """One client's connection, from the greeting to the last byte."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Pop3Service
    ) -> None:
        self._reader, self._writer, self._service = reader, writer, service
        # No <timestamp>: it would announce APOP (RFC 1939 7), which hashed passwords rule out.
        self._session = Session(f"Tubepost on {service.hostname}")
        self._client_ip = str((writer.get_extra_info("peername") or ("",))[0])
        self._waiting = False
        self._home = Path()
        self._books: Books | None = None
        self._drop: Maildrop | None = None

    async def run(self) -> None:
        """Talks until either side ends it. Raises nothing but CancelledError."""
        try:
            if self._client_ip:  # a client that is gone already has no address to check
                await self._converse()
        except OSError:
            pass  # the client is gone, or silent for too long (TimeoutError): nothing is deleted
        except asyncio.CancelledError:
            self._writer.transport.abort()
            raise
        except Exception:  # noqa: BLE001 - a bug ends this session, not the server
            self._service.on_fault("POP3 session")
            self._writer.transport.abort()
        finally:
            await self.hang_up()

    def drain(self) -> None:
        """Ends the session after the command in hand; at once if it waits for the client."""
        self._session.shut_down()
        if self._waiting:
            while isinstance(action := self._session.next(), Send):
                self._writer.write(action.data)
            self._writer.close()  # wakes the reader with the end of the stream

    async def _converse(self) -> None:
        answer: Answer = None
        while not self._session.closed:
            action = self._session.next(answer)
            answer = None
            if action is not None:
                answer = await self._perform(action)
            elif not await self._receive():
                return

    async def _receive(self) -> bool:
        self._waiting = True
        try:
            async with asyncio.timeout(self._service.idle_seconds):
                data = await self._reader.read(_READ)
        finally:
            self._waiting = False
        self._session.receive(data)
        return bool(data)

    async def _perform(self, action: Action) -> Answer:
        match action:
            case Send():
                await self._write(action.data)
            case Login():
                return await self._login(action)
            case OpenDrop():
                return await self._open_drop()
            case Fetch():
                return await self._fetch(action)
            case Commit():
                return await self._commit(action)
            case Close():
                pass  # `run` hangs up
            case _:
                assert_never(action)
        return None

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            async with asyncio.timeout(self._service.idle_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()  # it does not read: no use in waiting to close
            raise

    async def _login(self, request: Login) -> Result | KeptOut:
        login = self._service.authority.login
        try:
            result = await login(request.user, request.password, self._client_ip)
        except Unavailable:
            return Result.AWAY
        except Exception:  # noqa: BLE001 - a fault of ours must not look like a wrong password
            self._service.on_fault("POP3 login")
            return Result.AWAY
        if isinstance(result, Accepted):
            self._home, self._books = result.home, result.books
            return Result.DONE
        if isinstance(result, Refused):
            return KeptOut(result.text) if result.text else Result.REFUSED
        return Result.AWAY

    async def _open_drop(self) -> Opened | Result:
        folder = self._home / "Maildir"
        try:
            self._drop = await asyncio.to_thread(self._service.open_drop, folder)
        except OSError:
            self._service.on_fault(f"POP3: unable to open {folder}")
            return Result.AWAY
        return Opened(self._drop.messages)

    async def _fetch(self, request: Fetch) -> Result:
        try:
            file, block = await asyncio.to_thread(self._first_block, request.index)
        except FileNotFoundError:
            return Result.AWAY
        except OSError:
            self._service.on_fault(f"POP3: unable to read in {self._home}")
            return Result.AWAY
        with file:
            await self._send_message(request, file, block)
        return Result.DONE

    async def _send_message(self, request: Fetch, file: BinaryIO, block: bytes) -> None:
        """A disk error in the middle ends the connection: half a mail must not look whole."""
        encoder = Multiline(request.lines)
        data = request.opening + encoder.feed(block)
        while len(block) == BLOCK and not encoder.complete:
            await self._write(data)
            block = await asyncio.to_thread(_read, file)
            data = encoder.feed(block)
        await self._write(data + encoder.finish())

    async def _commit(self, request: Commit) -> Result:
        try:
            done = await asyncio.to_thread(self._opened().commit, request.deleted, self._books)
        except OSError:
            self._service.on_fault(f"POP3: unable to update {self._home}")
            return Result.AWAY
        return Result.AWAY if done.left else Result.DONE

    def _first_block(self, index: int) -> tuple[BinaryIO, bytes]:
        file = self._opened().open(index)
        try:
            return file, file.read(BLOCK)
        except BaseException:
            file.close()
            raise

    def _opened(self) -> Maildrop:
        if self._drop is None:
            raise RuntimeError("a maildrop was asked for before a login")
        return self._drop

    async def hang_up(self) -> None:
        """Closes; a client that does not take the last bytes in time loses them."""
        self._writer.close()
        try:
            async with asyncio.timeout(_HANG_UP_SECONDS):
                await self._writer.wait_closed()
        except OSError:
            self._writer.transport.abort()


def _read(file: BinaryIO) -> bytes:
    """An error of the disk, told apart from one of the socket."""
    try:
        return file.read(BLOCK)
    except OSError as error:
        raise Unavailable(f"unable to read on: {error}") from error


class Pop3Server:
    """Listens on any number of addresses.

    `session_limit`: more clients than that at once are turned away. `on_sessions(count)` is called
    whenever a session begins or ends.
    """

    def __init__(
        self,
        service: Pop3Service,
        *,
        session_limit: int = 1000,
        on_sessions: Callable[[int], None] | None = None,
    ) -> None:
        self._service, self._limit, self._on_sessions = service, session_limit, on_sessions
        self._listeners: list[asyncio.Server] = []
        self._sessions: dict[asyncio.Task[None], Connection] = {}
        self._closing = False

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Listens; port 0 takes a free one. Returns the address bound. OSError as is."""
        handshake = _HANDSHAKE_SECONDS if tls else None
        listener = await asyncio.start_server(
            self._accept, host, port, ssl=tls, ssl_handshake_timeout=handshake, limit=_READ
        )
        self._listeners.append(listener)
        bound = listener.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def close(self, grace: float) -> None:
        """Accepts no more, lets running commands end for `grace` seconds, then cuts the rest."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        for connection in self._sessions.values():
            connection.drain()
        if self._sessions:
            _, late = await asyncio.wait(self._sessions, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._service)
        task = asyncio.current_task()
        if task is None or self._closing or len(self._sessions) >= self._limit:
            writer.write(b"-ERR [SYS/TEMP] too busy, try again later\r\n")
            await connection.hang_up()
            return
        self._sessions[task] = connection
        self._count()
        try:
            await connection.run()
        finally:
            del self._sessions[task]
            self._count()

    def _count(self) -> None:
        if self._on_sessions is not None:
            self._on_sessions(len(self._sessions))
