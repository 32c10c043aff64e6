"""The connection under an SMTP session: aiosmtpd's loop, STARTTLS and timers, as we use them.

aiosmtpd's construction, which inspects every method for each connection, is replaced: it cost a
fifth of a session (docs/performance.md). No verb and no policy stands here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aiosmtpd.smtp import SMTP, TLSSetupException

from services.smtpd import findings, lines, pace, policy
from services.smtpd.facts import Client
from services.smtpd.listener import Listener
from services.smtpd.patience import Patience
from services.smtpd.policies import hostile
from tubepost import maillog, smtp_values
from tubepost.errors import BadInput
from tubepost.relay_list import normal

READ_LIMIT = 64 * 1024
COMMAND_LIMIT = 1024
AUTH_LIMIT = 12_288  # RFC 4954 4

SHUTTING_DOWN = "421 shutting down, try again (#4.3.2)"


def shared_parts(listener: Listener) -> dict[str, Any]:
    """What aiosmtpd works out for one session; the others copy it."""
    loop = asyncio.get_running_loop()
    template = SMTP(
        object(),
        hostname="-",
        ident="ESMTP",
        tls_context=listener.tls,
        enable_SMTPUTF8=True,
        loop=loop,
    )
    return dict(template.__dict__)


class Reader(asyncio.StreamReader):
    """Ends the session where the client has said all: what came before has been answered."""

    async def readuntil(self, separator: bytes = b"\n") -> bytes:  # type: ignore[override]
        try:
            return lines.checked(await super().readuntil(separator))
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None  # how aiosmtpd's loop ends


class Limits(dict[str, int]):
    """Octets a command may have, by its verb. aiosmtpd looks up whatever a client says, of any
    length, before it measures it: none of that is kept, which a defaultdict would do for ever.
    """

    def __missing__(self, verb: str) -> int:
        return COMMAND_LIMIT


class Verbs:
    """A session's verbs as aiosmtpd asks for them. It gets an answer for any, so we count them."""

    def __init__(self, session: "Connection") -> None:
        self._session = session

    def get(self, verb: str) -> Callable[[str | None], Awaitable[None]]:
        method = self._session.verbs.get(verb)
        return partial(method, self._session) if method else partial(self._session._unknown, verb)


class Connection(Patience):
    """A client's connection. `verbs` is the table of what it may say."""

    verbs: Mapping[str, Callable[..., Awaitable[None]]] = {}

    command_size_limit = COMMAND_LIMIT
    command_size_limits: dict[str, int] = Limits(AUTH=AUTH_LIMIT)

    _entered = False

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
        self._smtp_methods = Verbs(self)  # type: ignore[assignment]  # only `get` is called
        self._timeout_duration = listener.parts.control.get(smtp_values.TIMEOUTSMTPD)
        self.hostname = listener.parts.control.greeting
        self._listener = listener
        self._client = Client("")
        self._findings: findings.Findings | None = None
        self._in_data = False
        self._tally = pace.Tally()

    async def _handle_client(self) -> None:
        listener = self._listener
        peer = self._writer.get_extra_info("peername")
        if not peer:
            return  # gone before we could look
        listener.joined(self)
        client = await self._opened(normal(peer[0]))
        if client is None:
            return
        if listener.draining:  # it came in after the others were told
            self.say_goodbye()
            return
        load = listener.parts.meter.load(client.ip, client.rule)
        self._client = replace(client, load=load)
        refusal = policy.refusal(policy.CONNECT, self._client)
        if refusal:
            await self._refuse(refusal)
            return
        self._enter()
        self._findings = findings.begin(listener.parts.lookups, self._client)
        if await self._talks_early():
            self._client = replace(self._client, talked_early=True)
            refusal = policy.refusal(policy.GREETING, self._client)
        if refusal:
            await self._refuse(refusal)
            return
        await super()._handle_client()

    def _enter(self) -> None:
        """No wait may lie between the load that was judged and this: a burst would slip through."""
        if self.transport is not None:  # else it is gone, and will not leave again
            self._listener.parts.meter.enter(self._client)
            self._entered = True

    async def _unknown(self, verb: str, _argument: str | None) -> None:
        if verb == lines.BARE_LF:
            await self._refuse(hostile.BARE_LF)
        elif verb.startswith("\0"):
            await self.push("500 syntax error (#5.5.2)")
        else:
            self._tally.errors += pace.UNKNOWN - 1
            await self.push("500 unimplemented (#5.5.1)")

    def eof_received(self) -> bool:
        """The client has said all but still listens: what it said is answered."""
        self._said_all = True
        self._reader.feed_eof()
        return self._tls_protocol is None  # TLS has no half-closed connections

    def connection_lost(self, error: Exception | None) -> None:
        self._left()
        super().connection_lost(error)

    def _left(self) -> None:
        self._listener.left(self)
        if self._entered:
            self._entered = False
            self._listener.parts.meter.leave(self._client)
        if self._findings:
            self._findings.drop()

    def say_goodbye(self) -> None:
        """Ends the session, now or, while a mail is being taken, after its reply."""
        if not self._in_data:
            self._part_with(self._wire(SHUTTING_DOWN))
            self._hang_up()

    async def handle_exception(self, error: Exception) -> str:
        """A bug of ours is temporary for the client and says nothing of its inside."""
        if isinstance(error, TLSSetupException):  # no bug: the client did not begin TLS
            self._log_refusal(hostile.NO_TLS)
            return ""  # aiosmtpd sends nothing here: the connection is closed
        maillog.bug(f"smtp session of {self._client.ip}")
        self._reset_timeout()  # it may have come while the client waited for us
        return "451 internal error (#4.3.0)"

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
