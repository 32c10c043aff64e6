"""The connection under an SMTP session: aiosmtpd's loop, STARTTLS and timers, as we use them.

aiosmtpd's construction, which inspects every method for each connection, is replaced: it cost a
fifth of a session (docs/performance.md). No verb and no policy stands here.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP

from services.smtpd import findings, policy
from services.smtpd.facts import Client
from services.smtpd.listener import Listener
from services.smtpd.refusal import Refusal
from tubepost import maillog, smtp_values
from tubepost.errors import BadInput
from tubepost.relay_list import normal

READ_LIMIT = 64 * 1024
COMMAND_LIMIT = 1024
AUTH_LIMIT = 12_288  # RFC 4954 4

SHUTTING_DOWN = b"421 shutting down, try again (#4.3.2)\r\n"
TIMED_OUT = b"451 timeout (#4.4.2)\r\n"


def shared_parts(listener: Listener) -> dict[str, Any]:
    """What aiosmtpd works out for one session; the others copy it."""
    loop = asyncio.get_running_loop()
    template = SMTP(object(), hostname="-", ident="ESMTP", tls_context=listener.tls, loop=loop)
    return dict(template.__dict__)


class Reader(asyncio.StreamReader):
    """Ends the session where the client has said all: what came before has been answered."""

    async def readuntil(self, separator: bytes = b"\n") -> bytes:  # type: ignore[override]
        try:
            return await super().readuntil(separator)
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None  # how aiosmtpd's loop ends


class Connection(SMTP):
    """A client's connection. `verbs` is the table of what it may say."""

    verbs: Mapping[str, Callable[..., Awaitable[None]]] = {}

    command_size_limit = COMMAND_LIMIT
    command_size_limits: dict[str, int] = defaultdict(  # noqa: RUF012 - as aiosmtpd declares it
        lambda: COMMAND_LIMIT, AUTH=AUTH_LIMIT
    )

    def __init__(  # SMTP.__init__ is what this replaces
        self, listener: Listener, shared: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.__dict__.update(shared)
        asyncio.StreamReaderProtocol.__init__(
            self,
            Reader(limit=READ_LIMIT, loop=loop),
            client_connected_cb=self._cb_client_connected,
            loop=loop,
        )
        self._smtp_methods = {verb: partial(method, self) for verb, method in self.verbs.items()}
        self._timeout_duration = listener.parts.control.get(smtp_values.TIMEOUTSMTPD)
        self.hostname = listener.parts.control.greeting
        self._listener = listener
        self._client = Client("")
        self._findings: findings.Findings | None = None
        self._in_data = False

    async def _handle_client(self) -> None:
        listener = self._listener
        peer = self._writer.get_extra_info("peername")
        if not peer:
            return  # gone before we could look
        ip = normal(peer[0])
        rule = listener.parts.control.get(smtp_values.TCPRULES).of(ip)
        self._client = Client(ip, rule, kind=listener.kind)
        listener.joined(self)
        refusal = policy.refusal(policy.CONNECT, self._client)
        if refusal:
            await self._refuse(refusal)
            return
        self._findings = findings.begin(listener.parts.lookups, self._client)
        await super()._handle_client()

    def eof_received(self) -> bool:
        """The client has said all but still listens: what it said is answered."""
        self._reader.feed_eof()
        return self._tls_protocol is None  # TLS has no half-closed connections

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.left(self)
        if self._findings:
            self._findings.drop()
        super().connection_lost(error)

    def _hang_up(self) -> None:
        """Nothing more is heard. Under TLS the connection lives on until the client agrees."""
        self._writer.close()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def say_goodbye(self) -> None:
        """Ends the session, now or, while a mail is being taken, after its reply."""
        if not self._in_data:
            self._writer.write(SHUTTING_DOWN)
            self._hang_up()

    def _stop_timeout(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    def _timeout_cb(self) -> None:
        self._writer.write(TIMED_OUT)
        self._hang_up()

    async def handle_exception(self, error: Exception) -> str:
        """A bug of ours is temporary for the client and says nothing of its inside."""
        maillog.bug(f"smtp session of {self._client.ip}")
        return "451 internal error (#4.3.0)"

    async def _refuse(self, refusal: Refusal, **facts: str) -> None:
        client = {"client": self._client.ip, "helo": self._client.helo}
        maillog.refused(refusal.verdict, refusal.reply, {**client, **facts})
        await self.push(refusal.reply)
        if refusal.hang_up:
            self._hang_up()

    def _unread(self, rest: bytes) -> None:
        """Pipelined commands behind the mail go back in front of what has come since."""
        buffer: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        buffer[:0] = rest

    async def _line(self) -> bytes:
        """One line of the client's; BadInput, once all of it has come, where it is too long."""
        dropped = 0
        while True:
            try:
                line = await self._reader.readuntil()
            except asyncio.LimitOverrunError as error:
                dropped += len(await self._reader.read(error.consumed))
            else:
                break
        if dropped or len(line) > AUTH_LIMIT:
            raise BadInput("too long")
        return line
