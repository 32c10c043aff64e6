"""Logins over real sockets to aiosmtpd: inside TLS, and what follows when they are refused."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.remote.connection import TryNext
from services.remote.mx import Host
from tests.remote.smtp_peer import TERMS, send, server_context
from tubepost.outcome import Delivered
from tubepost.record import Envelope as Ours
from tubepost.smtproutes import Login

HOST = Host("127.0.0.1", "127.0.0.1")
MAIL = Ours("s@example.org", ("a@example.net",)), b"Subject: x\r\n\r\nhello\r\n"


class Relay:
    """A smarthost that knows one user, and keeps the books."""

    def __init__(self) -> None:
        self.users: list[bytes] = []
        self.in_tls: list[bool] = []
        self.mails = 0

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.in_tls.append(session.ssl is not None)
        good = data.password == "pässword".encode()
        if good:
            self.users.append(data.login)
        return AuthResult(success=good, handled=good)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails += 1
        return "250 2.0.0 stored"


@contextlib.asynccontextmanager
async def listening(relay: Relay, context: ssl.SSLContext, *only: str) -> AsyncIterator[int]:
    """`only`: the mechanism that is offered."""
    peers: list[SMTP] = []
    excluded = {"PLAIN", "LOGIN"} - set(only)

    def meet() -> SMTP:
        peers.append(
            SMTP(
                relay,
                hostname="mx.example",
                tls_context=context,
                authenticator=relay.authenticate,
                auth_required=True,
                auth_exclude_mechanism=excluded,
            )
        )
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(meet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for peer in peers:
            if peer.transport is not None:
                peer.transport.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_login_inside_tls(mechanism: str, tmp_path: Path) -> None:
    relay = Relay()
    terms = replace(TERMS, login=Login("jörg", "pässword"))
    async with listening(relay, server_context(tmp_path), mechanism) as port:
        outcomes = await send(HOST, port, *MAIL, terms)
    assert not isinstance(outcomes, TryNext)
    assert isinstance(outcomes["a@example.net"], Delivered)
    assert (relay.users, relay.in_tls, relay.mails) == (["jörg".encode()], [True], 1)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_login_refused_inside_tls_is_not_said_again_in_the_clear(
    mechanism: str, tmp_path: Path
) -> None:
    relay = Relay()
    terms = replace(TERMS, login=Login("jörg", "wrong"))
    async with listening(relay, server_context(tmp_path), mechanism) as port:
        result = await send(HOST, port, *MAIL, terms)
    assert isinstance(result, TryNext)
    assert result.status == "4.7.8"
    assert "refused the login" in result.reason
    assert (relay.in_tls, relay.mails) == ([True], 0)
