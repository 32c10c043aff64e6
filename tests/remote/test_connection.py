"""Sessions over real sockets: a good peer (aiosmtpd), TLS good and bad, connecting."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Envelope as Received
from aiosmtpd.smtp import Session as PeerSession

from services.remote.connection import Session, TryNext
from services.remote.mx import Host
from services.remote.smtp.events import Phase
from services.remote.terms import Source, Terms
from tests.remote.smtp_peer import (
    GREETING,
    STARTTLS,
    TERMS,
    Handler,
    MemoryPeer,
    listening,
    send,
    server_context,
    speaking,
)
from tubepost.outcome import Deferred, Delivered, Failed
from tubepost.record import Envelope

IP = "127.0.0.1"
HOST = Host(IP, IP)
ENVELOPE = Envelope("s@example.org", ("a@example.net", "b@example.net"))
BODY = b"Subject: x\r\n\r\nhello\r\n"


def short_at(phase: Phase, seconds: float = 0.1) -> Terms:
    """Terms with little patience in one phase only."""
    return Terms(
        source=Source(helo="me.example"), patience=dict.fromkeys(Phase, 10.0) | {phase: seconds}
    )


class Inbox:
    """What aiosmtpd's peer received."""

    def __init__(self) -> None:
        self.mails: list[Received] = []
        self.tls: list[bool] = []

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: PeerSession, envelope: Received
    ) -> str:
        self.mails.append(envelope)
        self.tls.append(session.ssl is not None)
        return "250 2.0.0 stored"


class RoomySMTP(SMTP):
    line_length_limit = 2**20


@contextlib.asynccontextmanager
async def good_peer(inbox: Inbox, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    peers: list[SMTP] = []

    def meet() -> SMTP:
        peers.append(RoomySMTP(inbox, hostname="mx.example", tls_context=context))
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(meet, IP, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for peer in peers:
            if peer._handler_coroutine is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await peer._handler_coroutine  # until it has heard QUIT
        await server.wait_closed()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Subject: x\r\n\r\nhello\r\n",
        b".\r\n..\r\n.a\r\n...\r\n",
        bytes(b for b in range(256) if b not in b"\r\n") + b"\r\n",
        b"x" * 200_000 + b"\r\n",
        (b"." + b"y" * 75 + b"\r\n") * 14_000,
    ],
    ids=["empty", "plain", "dots", "8-bit", "long line", "1 MB"],
)
async def test_the_body_arrives_octet_by_octet(body: bytes) -> None:
    inbox = Inbox()
    async with good_peer(inbox) as port:
        outcomes = await send(HOST, port, ENVELOPE, body, TERMS)
    text = f"{IP} accepted message./Remote host said: 250 2.0.0 stored"
    assert outcomes == dict.fromkeys(ENVELOPE.recipients, Delivered(text=text, peer=IP))
    [mail] = inbox.mails
    assert mail.content == body
    assert (mail.mail_from, mail.rcpt_tos) == (ENVELOPE.sender, list(ENVELOPE.recipients))


async def test_a_last_line_without_end_gets_one() -> None:
    inbox = Inbox()
    async with good_peer(inbox) as port:
        await send(HOST, port, ENVELOPE, b"no end", TERMS)
    assert inbox.mails[0].content == b"no end\r\n"


async def test_several_mails_over_one_session() -> None:
    inbox = Inbox()
    async with good_peer(inbox) as port:
        session = await Session.open(replace(HOST, port=port), TERMS)
        assert isinstance(session, Session)
        for number in range(3):
            outcomes = await session.deliver(ENVELOPE, b"%d\r\n" % number)
            assert not isinstance(outcomes, TryNext)
            assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
            assert session.usable
        session.close()
    assert [mail.content for mail in inbox.mails] == [b"0\r\n", b"1\r\n", b"2\r\n"]


async def test_a_session_the_peer_has_ended_takes_no_mail() -> None:
    async with listening(speaking(MemoryPeer({".": b"421 enough\r\n"}))) as port:
        session = await Session.open(replace(HOST, port=port), TERMS)
        assert isinstance(session, Session)
        outcomes = await session.deliver(ENVELOPE, BODY)
        assert not isinstance(outcomes, TryNext)
        assert {type(outcome) for outcome in outcomes.values()} == {Deferred}
        assert not session.usable
        assert isinstance(await session.deliver(ENVELOPE, BODY), TryNext)
        session.close()


async def test_pipelining_and_mixed_outcomes() -> None:
    peer = MemoryPeer({"RCPT TO:<b": b"550 5.1.1 who?\r\n"})
    async with listening(speaking(peer)) as port:
        outcomes = await send(HOST, port, ENVELOPE, BODY, TERMS)
    assert not isinstance(outcomes, TryNext)
    assert isinstance(outcomes["a@example.net"], Delivered)
    assert isinstance(outcomes["b@example.net"], Failed)
    assert peer.bodies == [BODY]


# STARTTLS


async def test_starttls_with_an_unknown_certificate(tmp_path: Path) -> None:
    inbox = Inbox()
    async with good_peer(inbox, server_context(tmp_path)) as port:
        outcomes = await send(Host("mx.example.org", IP), port, ENVELOPE, BODY, TERMS)
    assert not isinstance(outcomes, TryNext)
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert inbox.tls == [True]
    assert inbox.mails[0].content == BODY


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)  # the client's part of the handshake
    writer.write(b"this is not TLS\r\n")
    await reader.read()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Returns, and so closes."""


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.mark.parametrize("handshake", [garbage, closing, silence])
async def test_a_failed_handshake_is_followed_by_plain_text(handshake: Handler) -> None:
    sessions: list[list[str]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = MemoryPeer(ehlo=STARTTLS)
        sessions.append(peer.lines)
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))
            if peer.lines[-1] == "STARTTLS":
                await handshake(reader, writer)
                return

    async with listening(handler) as port:
        outcomes = await send(HOST, port, ENVELOPE, BODY, short_at(Phase.HANDSHAKE, 0.4))
    assert not isinstance(outcomes, TryNext)
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert sessions[0] == ["EHLO me.example", "STARTTLS"]
    assert "STARTTLS" not in sessions[1]
    assert len(sessions) == 2


async def test_a_session_that_dies_inside_tls_is_repeated_in_the_clear(tmp_path: Path) -> None:
    context = server_context(tmp_path)
    lines: list[list[str]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = MemoryPeer(ehlo=STARTTLS)
        lines.append(peer.lines)
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))
            await writer.drain()
            if peer.lines[-1] == "STARTTLS":
                await writer.start_tls(context)
                await reader.readline()  # EHLO, never answered
                return

    async with listening(handler) as port:
        outcomes = await send(HOST, port, ENVELOPE, BODY, TERMS)
    assert not isinstance(outcomes, TryNext)
    assert all(isinstance(outcome, Delivered) for outcome in outcomes.values())
    assert len(lines) == 2


async def test_plain_text_behind_starttls_is_not_let_into_the_session() -> None:
    peer = MemoryPeer({"STARTTLS": b"220 go\r\n250 injected\r\n"}, ehlo=STARTTLS)
    async with listening(speaking(peer)) as port:
        result = await send(HOST, port, ENVELOPE, BODY, TERMS)
    assert isinstance(result, TryNext)
    assert "plain text follows" in result.reason


@pytest.mark.parametrize("handshake", ["good", "bad"])
def test_the_same_on_uvloop(tmp_path: Path, handshake: str) -> None:
    """Its transports and its TLS are not asyncio's."""
    context = server_context(tmp_path)
    peers: list[MemoryPeer] = []
    body = b"x" * 500_000 + b"\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(peer := MemoryPeer(ehlo=STARTTLS))
        writer.write(GREETING)
        while data := await reader.read(65536):
            writer.write(peer.take(data))
            if peer.lines[-1] == "STARTTLS":
                if handshake == "bad":
                    return await garbage(reader, writer)
                await writer.start_tls(context)
        return None

    async def deliver() -> object:
        async with listening(handler) as port:
            return await send(HOST, port, ENVELOPE, body, TERMS)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(deliver())
    assert isinstance(outcomes, dict)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}
    assert peers[-1].bodies == [body]
    assert len(peers) == (1 if handshake == "good" else 2)


# Connecting


async def test_a_refused_connection(unused_tcp_port: int) -> None:
    result = await send(HOST, unused_tcp_port, ENVELOPE, BODY, TERMS)
    assert result == TryNext(f"{IP}: connection refused", connected=False)


async def test_no_time_to_connect() -> None:
    with socket.create_server((IP, 0)) as never_accepts:
        terms = replace(TERMS, connect_seconds=0.0)
        result = await send(HOST, never_accepts.getsockname()[1], ENVELOPE, BODY, terms)
    assert result == TryNext(f"{IP}: timed out", connected=False)


async def test_the_connection_comes_from_the_given_address() -> None:
    seen: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await speaking(MemoryPeer())(reader, writer)

    async with listening(handler) as port:
        for source in ("127.0.0.9", "", "::1"):
            terms = Terms(source=Source(helo="me.example", ips=(source,)))
            await send(HOST, port, ENVELOPE, BODY, terms)
    assert seen == ["127.0.0.9", IP, IP]


async def test_ipv6() -> None:
    try:
        async with listening(speaking(MemoryPeer()), "::1") as port:
            outcomes = await send(Host("::1", "::1"), port, ENVELOPE, BODY, TERMS)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert not isinstance(outcomes, TryNext)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}


async def test_a_cancelled_delivery_leaves_no_connection() -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read(-1)
        closed.set()

    async with listening(handler) as port:
        task = asyncio.create_task(send(HOST, port, ENVELOPE, BODY, TERMS))
        await reached.wait()
        task.cancel()
        await asyncio.wait_for(closed.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await task
