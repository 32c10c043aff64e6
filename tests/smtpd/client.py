"""An SMTP client for tests: says octets, hears replies. It knows as little SMTP as it can."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from tests.smtpd.running import PATIENCE


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def reply(self) -> str:
        """The last line of the next reply; "" where the server has closed instead."""
        while True:
            async with asyncio.timeout(PATIENCE):
                try:
                    line = (await self._reader.readline()).decode()
                except ConnectionError:
                    return ""
            if line[3:4] != "-":
                return line.removesuffix("\r\n")

    async def say(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def ask(self, *commands: str) -> str:
        """Says the commands one by one; the last reply."""
        reply = ""
        for command in commands:
            await self.say(command.encode() + b"\r\n")
            reply = await self.reply()
        return reply

    async def begin_mail(self, recipient: str = "ann@example.net") -> None:
        """Up to the point where the body is wanted."""
        found = await self.ask("MAIL FROM:<joe@example.org>", f"RCPT TO:<{recipient}>", "DATA")
        assert found == "354 go ahead"

    async def begin_tls(self, context: ssl.SSLContext) -> None:
        await self._writer.start_tls(context, server_hostname="localhost")

    async def is_closed(self) -> bool:
        """Waits for what the server says next: whether that is nothing any more."""
        return await self.reply() == ""

    def end(self) -> None:
        """Says no more, but still listens."""
        self._writer.write_eof()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """A client that has read the greeting."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        client = Client(reader, writer)
        assert (await client.reply()).startswith("220 ")
        yield client
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
