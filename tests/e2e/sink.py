"""Another host: an SMTP server that keeps what it gets, and answers as it is told."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session


class _Session(SMTP):
    line_length_limit = 1 << 20  # aiosmtpd keeps to 1001; mail in the wild does not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.event_handler.session_begins()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.session_ends()


@dataclass(frozen=True)
class Received:
    """A mail the sink answered 250 for. `recipients`: of that transaction."""

    sender: str
    recipients: tuple[str, ...]
    body: bytes


class Sink:
    """aiosmtpd's handler. `answers`: local part -> reply to RCPT; else 250."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.mails: list[Received] = []
        self.news = threading.Condition()
        self.port = 0
        self._open = 0

    def session_begins(self) -> None:
        with self.news:
            self._open += 1

    def session_ends(self) -> None:
        with self.news:
            self._open -= 1
            self.news.notify_all()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        reply = self.answers.get(address.partition("@")[0], "250 ok")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        mail = Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.content)
        with self.news:
            self.mails.append(mail)
            self.news.notify_all()
        return "250 taken"

    def wait_for(self, count: int, seconds: float) -> list[Received]:
        """The mails once there are `count`. AssertionError after `seconds`."""
        with self.news:
            arrived = self.news.wait_for(lambda: len(self.mails) >= count, seconds)
            assert arrived, f"{len(self.mails)} of {count} mails came within {seconds:g} s"
            return list(self.mails)

    def wait_until_nobody_speaks(self, seconds: float) -> list[Received]:
        """The mails once no session is open: what a killed peer had sent has been taken."""
        with self.news:
            assert self.news.wait_for(lambda: self._open == 0, seconds), f"{self._open} sessions"
            return list(self.mails)

    def route(self, domain: str) -> str:
        """A line for smtproutes."""
        return f"{domain}:127.0.0.1:{self.port}"


@contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[Sink]:
    """A sink, by default on a free port, in a thread of its own."""
    sink, loop = Sink(), asyncio.new_event_loop()

    def session() -> SMTP:
        return _Session(sink, hostname="sink.example", data_size_limit=None, loop=loop)

    server = loop.run_until_complete(loop.create_server(session, host, port))
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield sink
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_end_sessions())
        loop.close()


async def _end_sessions() -> None:
    sessions = asyncio.all_tasks() - {asyncio.current_task()}
    for session in sessions:
        session.cancel()
    await asyncio.gather(*sessions, return_exceptions=True)
