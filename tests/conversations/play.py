"""Plays a golden conversation against a server on a socket. It knows no protocol.

A conversation is a text file. The lines that begin with `#` on top say why it exists.

    C: text     the client sends text and CRLF
    C> text     the client sends text as it is, with \\r \\n \\t \\\\ and \\xNN written so
    S: text     the next reply line is exactly this (bytes that are no UTF-8 show as \\xNN)
    S~ regex    the next reply line matches this in full
    S...        reply lines are skipped until the next S line fits
    C! close    the client closes; S! close: the server has closed
    C! tls      the client begins TLS, and takes any certificate
    C* ip       the client's own address, for the connections after it

A line after a close opens a new connection. `{name}` stands for a variable.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

PATIENCE = 10.0
"""Seconds without a reply after which a conversation has failed."""

KINDS = ("C:", "C>", "C!", "C*", "S:", "S~", "S!", "S...")

_NONE: Mapping[str, str] = MappingProxyType({})
_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([rnt\\]))")
_LETTERS = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


class ConversationError(AssertionError):
    """The server said something else, or the file is not a conversation."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a conversation."""

    path: Path
    number: int
    kind: str
    text: str

    def failed(self, got: str) -> ConversationError:
        """What to raise, with the place in the file."""
        expected = f"{self.kind} {self.text}".rstrip()
        return ConversationError(
            f"{self.path.name}, line {self.number}\n  expected: {expected}\n  got:      {got}"
        )


async def play(path: Path, host: str, port: int, *, variables: Mapping[str, str] = _NONE) -> None:
    """Plays the file; ConversationError tells the line, what was expected and what came."""
    player = _Player(host, port)
    try:
        for line in conversation(path, variables):
            await player.play(line)
    finally:
        await player.hang_up()


def conversation(path: Path, variables: Mapping[str, str] = _NONE) -> list[Line]:
    """The lines of a conversation, variables filled in (as plain text in a regex)."""
    rows = path.read_text("utf-8").splitlines()
    if not rows or not rows[0].startswith("#"):
        raise ConversationError(f"{path.name} does not say on top why it exists")
    lines = []
    for number, raw in enumerate(rows, 1):
        if raw.strip() and not raw.startswith("#"):
            lines.append(_line(path, number, raw, variables))
    return lines


def _line(path: Path, number: int, raw: str, variables: Mapping[str, str]) -> Line:
    kind = next((kind for kind in KINDS if raw == kind or raw.startswith(kind + " ")), "")
    line = Line(path, number, kind, raw[len(kind) + 1 :])
    if not kind:
        raise line.failed(f"{raw!r}, which begins with none of {' '.join(KINDS)}")
    if kind in ("C!", "S!") and line.text != "close" and raw != "C! tls":
        raise line.failed("something else than close")

    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise line.failed(f"no variable {found[0]}")
        return re.escape(variables[found[1]]) if kind == "S~" else variables[found[1]]

    return Line(path, number, kind, _VARIABLE.sub(value, line.text))


@dataclass(slots=True)
class _Player:
    host: str
    port: int
    client: str = ""
    skipping: bool = False
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None)

    async def play(self, line: Line) -> None:
        await _PLAYS[line.kind](self, line)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.streams is None:
            source = (self.client, 0) if self.client else None
            self.streams = await asyncio.open_connection(
                self.host, self.port, local_addr=source, limit=1 << 20
            )
        return self.streams

    async def come_from(self, line: Line) -> None:
        self.client = line.text.strip()

    async def send_line(self, line: Line) -> None:
        await self._send(line.text.encode() + b"\r\n")

    async def send_raw(self, line: Line) -> None:
        await self._send(unescaped(line.text))

    async def _send(self, data: bytes) -> None:
        _, writer = await self.open()
        writer.write(data)
        await writer.drain()

    async def skip(self, _line: Line) -> None:
        self.skipping = True

    async def expect(self, line: Line) -> None:
        """One reply line that fits, or after `S...` the first that does."""
        while not _fits(line, got := await self._reply(line)):
            if not self.skipping:
                raise line.failed(f"S: {got}")
        self.skipping = False

    async def expect_close(self, line: Line) -> None:
        while data := await self._read(line):
            if not self.skipping:
                raise line.failed(f"S: {_shown(data)}")
        await self.hang_up()

    async def _reply(self, line: Line) -> str:
        data = await self._read(line)
        if not data:
            raise line.failed("the server closed the connection")
        if not data.endswith(b"\r\n"):
            raise line.failed(f"a line without CRLF: {data!r}")
        return _shown(data[:-2])

    async def _read(self, line: Line) -> bytes:
        reader, _ = await self.open()
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.readline()
        except TimeoutError:
            raise line.failed(f"nothing for {PATIENCE:.0f} seconds") from None
        except ConnectionError:
            return b""

    async def close(self, line: Line) -> None:
        await (self.begin_tls() if line.text == "tls" else self.hang_up())

    async def begin_tls(self) -> None:
        _, writer = await self.open()
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await writer.start_tls(context)

    async def hang_up(self) -> None:
        self.skipping = False
        if self.streams is not None:
            _, writer = self.streams
            self.streams = None
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


_PLAYS: Mapping[str, Callable[[_Player, Line], Awaitable[None]]] = {
    "C:": _Player.send_line,
    "C>": _Player.send_raw,
    "C!": _Player.close,
    "C*": _Player.come_from,
    "S:": _Player.expect,
    "S~": _Player.expect,
    "S!": _Player.expect_close,
    "S...": _Player.skip,
}


def unescaped(text: str) -> bytes:
    """The bytes a `C>` line sends."""

    def value(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else _LETTERS[found[2]]

    return _ESCAPE.sub(value, text.encode())


def _fits(line: Line, got: str) -> bool:
    return bool(re.fullmatch(line.text, got)) if line.kind == "S~" else got == line.text


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
