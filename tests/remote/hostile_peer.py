"""An SMTP host that is good until a chosen point of a mail, and then does one thing wrong.

It records what it can be held to: which mails it said yes to, how often it got each, and when all
its connections are gone. What the client makes of it is the tests' to say.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

GREETING = ("BANNER", "EHLO", "STARTTLS", "HANDSHAKE", "AUTH")
IN_MAIL = ("RSET", "MAIL", "RCPT", "DATA", "BODY", ".")
AT_EASE = ("IDLE", "QUIT")
"""Where no reply is due, or nobody waits for it."""

FLOOD_LIMIT = 64 << 20
"""Octets after which a flood gives up: somebody takes them all."""

USUAL = {
    "BANNER": b"220 hostile.example ESMTP\r\n",
    "HELO": b"250 hostile.example\r\n",
    "STARTTLS": b"220 go ahead\r\n",
    "AUTH": b"235 welcome\r\n",
    "RSET": b"250 flushed\r\n",
    "MAIL": b"250 sender ok\r\n",
    "RCPT": b"250 recipient ok\r\n",
    "DATA": b"354 go ahead\r\n",
    ".": b"250 2.0.0 taken\r\n",
    "QUIT": b"221 bye\r\n",
}
EXTENSIONS = ("PIPELINING", "SIZE 1000000000", "8BITMIME", "DSN", "SMTPUTF8")


class Gone(Exception):
    """The client has left, or this end has closed."""


@dataclass(frozen=True, slots=True)
class Misdeed:
    """`do(session, usual)`: instead of writing the `usual` reply.

    `yes`: what it says first means what the usual reply does. `no`: it says 5xx. `unasked`: it can
    also be done where no reply is due. `go`: in reply to DATA it lets the body come. `floods`: it
    writes without end.
    """

    name: str
    do: Callable[["Session", bytes], Awaitable[None]]
    yes: bool = False
    no: bool = False
    unasked: bool = False
    go: bool = False
    floods: bool = False


@dataclass(slots=True)
class HostilePeer:
    """It misbehaves once. `at`: where (GREETING, IN_MAIL, AT_EASE); in the `nth` mail, counted over
    all connections.

    `spoilt`: refuse the recipients of the mail before, so that a reused session needs RSET.
    """

    at: str
    misdeed: Misdeed
    nth: int = 1
    spoilt: bool = False
    extensions: tuple[str, ...] = EXTENSIONS
    mails: int = 0
    done: bool = False
    taken: Counter[bytes] = field(default_factory=Counter)
    """How often the final dot of a mail came, by the mail's first line."""
    granted: set[bytes] = field(default_factory=set)
    """The mails whose final dot got a 2xx."""
    flooded: int = 0
    connections: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    relented: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once no more misbehaviour is wanted."""

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client, until it has gone. For smtp_peer.listening."""
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        self.connections += 1
        session = Session(self, reader, writer)
        try:
            with contextlib.suppress(Gone, OSError):
                await session.converse()
            with contextlib.suppress(OSError):
                await session.out_of_the_way()
        finally:
            self._open.discard(task)

    async def all_gone(self) -> None:
        """Stops all misbehaviour, and returns when the client has left every connection."""
        self.relented.set()
        async with asyncio.timeout(20):
            while self._open:
                await asyncio.wait(list(self._open))

    def due(self, at: str) -> bool:
        """Whether the misdeed is for now; only once."""
        once = self.at in (*GREETING, "QUIT")
        # RSET comes before the MAIL of its mail.
        count = self.mails + 1 if at == "RSET" else self.mails
        if self.done or at != self.at or not (once or count == self.nth):
            return False
        self.done = True
        return True


class Session:
    """One connection: reads commands and bodies, and misbehaves where the peer says."""

    def __init__(
        self, peer: HostilePeer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.peer, self.reader, self.writer = peer, reader, writer
        self._rest = b""

    async def converse(self) -> None:
        await self._answer("BANNER", USUAL["BANNER"])
        while True:
            line = (await self._until(b"\r\n")).upper()
            verb = line.split(b" ")[0].split(b":")[0].decode("latin-1")
            if verb == "EHLO":
                await self._answer("EHLO", self._offers())
            elif verb == "STARTTLS":
                await self._start_tls()
            elif verb == "DATA":
                await self._data()
            elif line == b"AUTH LOGIN":
                await self._login()
            else:
                await self._plain(verb)

    def _offers(self) -> bytes:
        words = ["hostile.example", *self.peer.extensions]
        words += ["STARTTLS"] if self.peer.at in ("STARTTLS", "HANDSHAKE") else []
        lines = [f"250-{word}\r\n" for word in words[:-1]]
        return "".join([*lines, f"250 {words[-1]}\r\n"]).encode()

    async def _start_tls(self) -> None:
        await self._answer("STARTTLS", USUAL["STARTTLS"])
        await self._answer("HANDSHAKE", b"")
        raise Gone  # it has no certificate: the handshake fails

    async def _login(self) -> None:
        for reply in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
            if await self._answer("AUTH", reply):
                return
            await self._until(b"\r\n")
        await self.say(USUAL["AUTH"])

    async def _plain(self, verb: str) -> None:
        self.peer.mails += verb == "MAIL"
        usual = USUAL.get(verb, b"500 what?\r\n")
        if verb == "RCPT" and self.peer.spoilt and self.peer.mails < self.peer.nth:
            usual = b"450 not now\r\n"
        await self._answer(verb, usual)
        if verb == "QUIT":
            raise Gone

    async def _data(self) -> None:
        if self.peer.spoilt and self.peer.mails < self.peer.nth:
            await self._answer("DATA", b"451 no recipients\r\n")
            return
        misbehaved = await self._answer("DATA", USUAL["DATA"])
        if misbehaved and not self.peer.misdeed.go:
            return
        if self.peer.at == "BODY" and not self.peer.done:
            await self._more()
            await self._answer("BODY", b"")
        self._rest = b"\r\n" + self._rest  # the dot may be the first line
        body = (await self._until(b"\r\n.\r\n")).removeprefix(b"\r\n")
        first = body.partition(b"\r\n")[0]
        self.peer.taken[first] += 1
        await self._answer(".", USUAL["."], grants=first)
        await self._answer("IDLE", b"")

    async def _answer(self, at: str, usual: bytes, grants: bytes = b"") -> bool:
        """Whether the answer was the misdeed."""
        misbehaving = self.peer.due(at)
        if grants and (not misbehaving or self.peer.misdeed.yes):
            self.peer.granted.add(grants)
        if misbehaving:
            await self.peer.misdeed.do(self, usual)
        elif usual:
            await self.say(usual)
        return misbehaving

    # What misdeeds are made of

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def flood(self, octets: bytes) -> None:
        """For ever, or until the client has gone or nobody wants to see more."""
        while self.peer.flooded < FLOOD_LIMIT and not self.peer.relented.is_set():
            await self.say(octets)
            self.peer.flooded += len(octets)
            await asyncio.sleep(0)
        raise Gone

    async def hear_no_more(self) -> None:
        """Reads and says nothing until the client has gone."""
        while await self.reader.read(65536):
            pass
        raise Gone

    async def read_no_more(self) -> None:
        transport = self.writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        await self.peer.relented.wait()
        transport.resume_reading()
        raise Gone

    def reset(self) -> None:
        """RST instead of FIN (SO_LINGER with no time)."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Gone

    async def close(self) -> None:
        if self.writer.can_write_eof() and not self.writer.is_closing():
            self.writer.write_eof()  # FIN; what the client still writes is read
        raise Gone

    async def out_of_the_way(self) -> None:
        """Says FIN, and reads until the client has gone."""
        if not self.writer.is_closing():
            self.writer.write_eof()
            while await self.reader.read(65536):
                pass

    async def _more(self) -> None:
        data = await self.reader.read(65536)
        if not data:
            raise Gone
        self._rest += data

    async def _until(self, end: bytes) -> bytes:
        """What comes before `end`. Looks only at what is new, for bodies of megabytes."""
        pieces, held = [], 0
        while end not in self._rest:
            keep = self._rest[-len(end) :]
            pieces.append(self._rest[: len(self._rest) - len(keep)])
            held += len(pieces[-1])
            self._rest = keep
            await self._more()
        found, _, self._rest = self._rest.partition(end)
        return b"".join([*pieces, found])
