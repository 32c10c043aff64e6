"""The other hosts of a chaos run: one SMTP server that answers as the addresses say (workload).

It runs in the runner's process and is never killed. What it answered 250 for is an arrival; a mail
whose sender was gone before that is thrown away. Which worker sent it is told by the client's
address: each has its own on 127.0.0.0/8.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from tests.chaos import workload

_PATH = re.compile(r"<([^>]*)>")
_EHLO = "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 10000000\r\n250 8BITMIME"
DOT = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A recipient the sink answered 250 for. `at`: seconds since 1970; `client`: its address."""

    address: str
    at: float
    client: str
    digest: str

    @property
    def token(self) -> str:
        return workload.token_of(self.address)


class Sink:
    """What has arrived, and what was put off. `on_arrival` is called for each mail taken."""

    def __init__(self, on_arrival: Callable[[], None]) -> None:
        self.on_arrival = on_arrival
        self.arrivals: list[Arrival] = []
        self.thrown_away = 0
        self.said_later = 0
        self.refused = 0
        self.port = 0
        self._sessions = 0
        self._tries: Counter[str] = Counter()
        self._asked: dict[str, float] = {}
        self._nobody = asyncio.Event()
        self._nobody.set()

    def session_begins(self) -> None:
        self._sessions += 1
        self._nobody.clear()

    def session_ends(self) -> None:
        self._sessions -= 1
        if not self._sessions:
            self._nobody.set()

    async def nobody_speaks(self) -> None:
        """Returns once no session is open."""
        await self._nobody.wait()

    def too_early(self, address: str) -> bool:
        """Counts a try at a busy host; whether this one is still refused."""
        self._tries[address] += 1
        number = int(workload.token_of(address)[1:])
        early = self._tries[address] <= workload.refusals(number)
        self.said_later += early
        return early

    def is_away(self, address: str) -> bool:
        """Whether the first try is not long enough ago."""
        now = time.monotonic()
        away = now < self._asked.setdefault(address, now) + workload.AWAY_SECONDS
        self.said_later += away
        return away


class _Session(asyncio.Protocol):
    """One client, from greeting to the end of its connection."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._recipients: list[str] = []
        self._in_data = self._waiting = self._gone = False
        self._searched = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client = str(transport.get_extra_info("peername")[0])
        self._sink.session_begins()
        self._say("220 sink.example ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._sink.session_ends()

    def eof_received(self) -> bool:
        self._gone = True
        return False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._waiting and (self._take_body() if self._in_data else self._take_line()):
            pass

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 2]
        self._say(self._answer(line))
        return True

    def _answer(self, line: str) -> str:
        match line.partition(" ")[0].upper():
            case "EHLO":
                return _EHLO
            case "MAIL" | "RSET":
                self._recipients = []
                return "250 ok"
            case "RCPT":
                return self._rcpt(line)
            case "DATA" if self._recipients:
                self._in_data, self._searched = True, 0
                return "354 go ahead"
            case "DATA":
                return "554 no recipient"
            case "QUIT":
                return "221 bye"
        return "500 what?"

    def _rcpt(self, line: str) -> str:
        found = _PATH.search(line)
        if found is None:
            return "501 no path"
        address = found[1]
        if address.startswith(workload.NEVER + "-"):
            self._sink.refused += 1
            return "550 5.1.1 no such user"
        if address.startswith(workload.BUSY + "-") and self._sink.too_early(address):
            return "451 4.7.1 come back later"
        if address.startswith(workload.AWAY + "-") and self._sink.is_away(address):
            return "450 4.2.1 not here"
        self._recipients.append(address)
        return "250 ok"

    def _take_body(self) -> bool:
        found = self._buffer.find(DOT, max(0, self._searched - len(DOT)))
        if found < 0:
            self._searched = len(self._buffer)
            return False
        content = bytes(self._buffer[: found + 2])
        del self._buffer[: found + len(DOT)]
        self._in_data, self._waiting = False, True
        self._judge(content.replace(b"\r\n..", b"\r\n."))
        return True

    def _judge(self, content: bytes) -> None:
        first = self._recipients[0]
        domain = first.partition("@")[2]
        if domain.startswith(workload.SLOW):
            loop = asyncio.get_running_loop()
            loop.call_later(workload.SLOW_SECONDS, self._take, content)
        elif domain.startswith(workload.REJECT):
            self._sink.refused += 1
            self._done("554 5.7.1 not wanted here")
        elif domain.startswith(workload.LATE) and self._sink.too_early(first):
            self._done("451 4.3.0 not now")
        else:
            self._take(content)

    def _take(self, content: bytes) -> None:
        if self._gone:
            self._sink.thrown_away += 1
            return
        now, digest = time.time(), workload.digest(content)
        arrivals = self._sink.arrivals
        arrivals += [Arrival(a, now, self._client, digest) for a in self._recipients]
        self._done("250 2.0.0 taken")
        self._sink.on_arrival()

    def _done(self, reply: str) -> None:
        self._recipients, self._waiting = [], False
        self._say(reply)
        self._go_on()

    def _say(self, reply: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply.encode() + b"\r\n")


@asynccontextmanager
async def listening(on_arrival: Callable[[], None]) -> AsyncIterator[Sink]:
    """A sink on a free port."""
    sink = Sink(on_arrival)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Session(sink), "127.0.0.1", 0, backlog=512)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
