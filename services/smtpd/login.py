"""The verb AUTH on a connection (RFC 4954): when it may be used, its replies, what guessing costs.

The exchanges stand in authenticate.py, the control settings in smtp_values (`auth...`).
"""

import asyncio
import os
import secrets
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

from services.smtpd import authenticate
from services.smtpd.backends import LOGINS
from services.smtpd.connection import Connection
from services.smtpd.transaction import Transaction
from tubepost import smtp_values
from tubepost.errors import BadInput, Unavailable

MAX_AUTH_FAILURES = 3


class LoginConnection(Connection):
    """A connection whose client may log in."""

    _transaction: Transaction | None = None
    _auth_failures = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """At the end of STARTTLS, too: who was heard before it is forgotten (RFC 3207 4.2)."""
        if self._client.user:
            self._client = replace(self._client, user="")
        super().connection_made(transport)

    def _set_rset_state(self) -> None:
        """Called by aiosmtpd where the protocol resets a session (RFC 3207 4.2, RFC 5321 4.1.4)."""
        self._transaction = None

    async def smtp_AUTH(self, arg: str | None) -> None:
        words = (arg or "").split()
        refusal = self._auth_refusal(words)
        if refusal:
            await self.push(refusal)
            return
        try:
            proof = await self._proof(*words)
            account = await authenticate.check(self._listener.parts.bus, proof, self._client.ip)
        except BadInput as error:
            await self.push(_error_reply(error))
        except Unavailable:
            self._listener.parts.backends.doubt(LOGINS)
            await self.push("454 oops, unable to check your password now (#4.3.0)")
        else:
            await self._auth_done(account)

    def _auth_offers(self) -> Iterator[str]:
        """Lines of EHLO."""
        if self._auth_kept_back():
            return
        names = " ".join(self._mechanisms).upper()
        yield f"AUTH {names}"
        if self._listener.parts.control.get(smtp_values.AUTHOLDLINE):
            yield f"AUTH={names}"

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return self._listener.parts.control.get(smtp_values.AUTHMECHANISMS)

    def _auth_kept_back(self) -> str | None:
        """Why this connection has no AUTH now, as a reply."""
        get = self._listener.parts.control.get
        if not (self._listener.kind.auth_required or get(smtp_values.AUTHONMX)):
            return "503 auth not available (#5.3.3)"
        if not (self._writer.get_extra_info("ssl_object") or get(smtp_values.AUTHPLAINTEXT)):
            return "538 auth not available without TLS (#5.3.3)"
        return None

    def _auth_refusal(self, words: list[str]) -> str | None:
        kept_back = self._auth_kept_back()
        if kept_back:
            return kept_back
        if self._client.user:
            return "503 you're already authenticated (#5.5.0)"
        if self._transaction is not None:
            return "503 no auth during mail transaction (#5.5.0)"
        if len(words) not in (1, 2):
            return "501 malformed auth input (#5.5.4)"
        return None

    async def _proof(self, mechanism: str, initial: str | None = None) -> authenticate.Proof:
        name = mechanism.lower()
        if name not in self._mechanisms:
            raise authenticate.UnknownMechanism(name)
        return await authenticate.exchange(
            name, initial, self._challenge, lambda: cram_challenge(self._listener.parts.control.me)
        )

    async def _auth_done(self, account: str | None) -> None:
        if account:
            self._client = replace(self._client, user=account)
            await self.push("235 ok, go ahead (#2.0.0)")
            return
        self._auth_failures += 1
        await self._let_wait(self._listener.parts.control.get(smtp_values.AUTHDELAY))
        await self.push("535 authentication failed (#5.7.1)")
        if self._auth_failures >= MAX_AUTH_FAILURES:
            self._hang_up()

    async def _let_wait(self, seconds: float) -> None:
        """Holds up this client and nobody else (AUTH-3).

        Drain and hang-up cancel the session's task, and so end this. A client that only shuts down
        its writing side waits all the same: else that would be the way around it.
        """
        if seconds:
            self._stop_timeout()  # the client waits for us now, not we for it
            await asyncio.sleep(seconds)
            self._reset_timeout()

    async def _challenge(self, octets: bytes) -> str:
        await self.push("334 " + b64encode(octets).decode())
        line = await self._line()
        self._reset_timeout()
        return line.decode("latin-1").strip()


def cram_challenge(host: str) -> str:
    """`<pid.time.chance@host>`: never the same twice, on no replica, and not to be guessed."""
    return f"<{os.getpid()}.{int(time.time())}.{secrets.token_hex(8)}@{host}>"


def _error_reply(error: BadInput) -> str:
    if isinstance(error, authenticate.Cancelled):
        return "501 auth exchange canceled (#5.0.0)"
    if isinstance(error, authenticate.UnknownMechanism):
        return "504 auth type unimplemented (#5.5.1)"
    return "501 malformed auth input (#5.5.4)"
