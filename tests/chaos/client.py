"""The mail client of a chaos run: sends each mail once and keeps what came of it.

A mail whose connection broke between the final dot and the reply is `unknown`: it may arrive or
not. It never sends again, so that whatever comes twice is the platform's doing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tests.chaos.pulse import ACCEPTED, DOT_SENT, Pulse
from tests.chaos.workload import Mail, Workload

Address = tuple[str, int]

REPLY_WITHIN = 120.0
"""Seconds to wait for any reply: smtpd repeats each write for 20 s, a big mail has several."""

MOST_AT_ONCE = 200
"""Sessions open at once; what would be more is not sent and counted."""


class Sent(StrEnum):
    """How a session ended for its mail."""

    ACCEPTED = "accepted"
    TEMPFAILED = "tempfailed"
    UNKNOWN = "unknown"
    UNSENT = "unsent"
    """No connection, or it broke before the final dot."""
    REFUSED = "refused"
    """A 5xx: never right for these mails."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`recipients`: those with 250 to RCPT. `at`: when it ended. `mail_id`: from the 250."""

    mail: Mail
    sent: Sent
    at: float
    recipients: tuple[str, ...] = ()
    mail_id: str = ""
    reply: str = ""

    @property
    def may_be_queued(self) -> bool:
        """Whether the platform had the whole mail: after a 451 it may have been stored too."""
        return self.sent in (Sent.ACCEPTED, Sent.TEMPFAILED, Sent.UNKNOWN) and bool(self.recipients)


class Client:
    """`servers`: where smtpd listens now."""

    def __init__(
        self,
        work: Workload,
        servers: Callable[[], Sequence[Address]],
        pulse: Pulse,
        *,
        seed: int,
        rate: float,
    ) -> None:
        self._work, self._servers, self._pulse, self._rate = work, servers, pulse, rate
        self._random = Random(f"client {seed}")
        self._sessions: set[asyncio.Task[None]] = set()
        self.attempts: list[Attempt] = []
        self.held_back = 0

    async def run(self, seconds: float) -> None:
        """Sends at the rate for so long, then waits for the last replies."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for n in range(int(seconds * self._rate)):
            await asyncio.sleep(max(0.0, begin + n / self._rate - loop.time()))
            mail = self._work.next()
            if len(self._sessions) >= MOST_AT_ONCE:
                self.held_back += 1
                continue
            task = asyncio.create_task(self._send(mail))
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)
        await asyncio.gather(*self._sessions)

    async def _send(self, mail: Mail) -> None:
        servers = self._servers()
        if not servers:
            self.attempts.append(Attempt(mail, Sent.UNSENT, time.time(), reply="no smtpd"))
            return
        session = _Session(mail, self._pulse)
        try:
            async with asyncio.timeout(REPLY_WITHIN):
                attempt = await session.run(self._random.choice(servers))
        except (OSError, EOFError, TimeoutError) as error:
            attempt = session.broken(error)
        finally:
            session.close()
        if attempt.sent is Sent.ACCEPTED:
            self._pulse.beat(ACCEPTED)
        self.attempts.append(attempt)


class _Session:
    """One connection with one mail."""

    def __init__(self, mail: Mail, pulse: Pulse) -> None:
        self._mail, self._pulse = mail, pulse
        self._writer: asyncio.StreamWriter | None = None
        self._recipients: tuple[str, ...] = ()
        self._dot_sent = False

    async def run(self, server: Address) -> Attempt:
        """The dialogue to its end. Raises OSError or EOFError where it breaks."""
        self._reader, self._writer = await asyncio.open_connection(*server)
        for command in ("", "EHLO client.example", f"MAIL FROM:<{self._mail.sender}>"):
            reply = await self._ask(command)
            if reply[0] != "2":
                return self._ended(reply)
        if (reply := await self._ask_recipients()) or not self._recipients:
            return self._ended(reply or "451 no recipient")
        reply = await self._ask("DATA")
        if reply[0] != "3":
            return self._ended(reply)
        await self._write_content()
        return self._ended(await self._reply())

    async def _ask_recipients(self) -> str:
        """All RCPT in one go. A reply that refuses one for good, else ""; 451 leaves it out."""
        assert self._writer
        lines = (f"RCPT TO:<{address}>\r\n" for address in self._mail.recipients)
        self._writer.write("".join(lines).encode())
        replies = [await self._reply() for _ in self._mail.recipients]
        pairs = zip(self._mail.recipients, replies, strict=True)
        self._recipients = tuple(address for address, reply in pairs if reply[0] == "2")
        return next((reply for reply in replies if reply[0] == "5"), "")

    async def _write_content(self) -> None:
        assert self._writer
        self._writer.write(self._mail.content().replace(b"\r\n.", b"\r\n.."))
        await self._writer.drain()
        self._dot_sent = True
        self._writer.write(b".\r\n")
        self._pulse.beat(DOT_SENT)

    async def _ask(self, command: str) -> str:
        assert self._writer
        if command:
            self._writer.write(command.encode() + b"\r\n")
        return await self._reply()

    async def _reply(self) -> str:
        """The last line of a reply. Raises EOFError."""
        while True:
            line = (await self._reader.readline()).decode("latin-1")
            if not line.endswith("\n"):
                raise EOFError("connection closed")
            if line[3:4] != "-":
                return line.strip()

    def _ended(self, reply: str) -> Attempt:
        sent = {"2": Sent.ACCEPTED, "4": Sent.TEMPFAILED}.get(reply[0], Sent.REFUSED)
        recipients = self._recipients if self._dot_sent else ()
        mail_id = reply.rpartition(" ")[2] if sent is Sent.ACCEPTED else ""
        return Attempt(self._mail, sent, time.time(), recipients, mail_id, reply)

    def broken(self, error: Exception) -> Attempt:
        """What a lost connection means for the mail."""
        if self._dot_sent:
            return Attempt(
                self._mail, Sent.UNKNOWN, time.time(), self._recipients, reply=repr(error)
            )
        return Attempt(self._mail, Sent.UNSENT, time.time(), reply=repr(error))

    def close(self) -> None:
        """QUIT, and out without waiting for the reply."""
        if self._writer:
            self._writer.write(b"QUIT\r\n")
            self._writer.close()
