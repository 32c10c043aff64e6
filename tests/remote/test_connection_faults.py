"""Sessions over real sockets with peers that misbehave at each phase."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from services.remote.connection import TryNext
from services.remote.mx import Host
from services.remote.smtp.events import Phase
from services.remote.terms import Source, Terms
from tests.remote.smtp_peer import (
    GREETING,
    PIPELINING,
    PLAIN,
    TERMS,
    Handler,
    MemoryPeer,
    listening,
    send,
    speaking,
)
from tubepost.outcome import Deferred
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


FLOOD = b"250-" + b"x" * 1_000_000
LINES = b"250-x\r\n" * 150_000
DIED = f"Connected to {IP} but connection died. "


def misbehaving(at: str, how: Callable[[asyncio.StreamWriter], None], ehlo: bytes) -> Handler:
    """A peer that is good until the line beginning with `at` ("" for the banner)."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = MemoryPeer({at: b""} if at else {}, ehlo=b"" if at == "EHLO" else ehlo)
        if not at:
            how(writer)
        else:
            writer.write(GREETING)
        done = False
        while data := await reader.read(65536):
            if not writer.is_closing():
                writer.write(peer.take(data))
            reached = bool(peer.bodies) if at == "." else any(x.startswith(at) for x in peer.lines)
            if at and reached and not done:
                done = True
                how(writer)

    return handler


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def say(octets: bytes) -> Callable[[asyncio.StreamWriter], None]:
    return lambda writer: writer.write(octets)


WAYS = {
    "closes": close,
    "resets": abort,
    "floods a line": say(FLOOD),
    "floods lines": say(LINES),
    "nonsense": say(b"\x00\xffhello\r\n"),
    "two codes": say(b"250-a\r\n550 b\r\n"),
    "half a reply and then silence": say(b"250-half"),
    "silent": say(b""),
}


PHASES = {
    "": Phase.BANNER,
    "EHLO": Phase.EHLO,
    "MAIL": Phase.MAIL,
    "RCPT TO:<a": Phase.RCPT,
    "RCPT TO:<b": Phase.RCPT,
    "DATA": Phase.DATA,
    ".": Phase.FINAL_DOT,
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("at", ["", "EHLO"])
async def test_misbehaving_before_mail_means_the_next_host(at: str, how: str) -> None:
    async with listening(misbehaving(at, WAYS[how], PLAIN)) as port:
        result = await send(HOST, port, ENVELOPE, BODY, short_at(PHASES[at]))
    assert isinstance(result, TryNext)
    assert result.connected
    assert result.reason.startswith(f"Connected to {IP} but ")


@pytest.mark.parametrize("ehlo", [PLAIN, PIPELINING], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("at", ["MAIL", "RCPT TO:<a", "RCPT TO:<b", "DATA", "."])
async def test_misbehaving_within_a_mail_defers(at: str, how: str, ehlo: bytes) -> None:
    """And before the mail's content is there, means the next host."""
    async with listening(misbehaving(at, WAYS[how], ehlo)) as port:
        outcomes = await send(HOST, port, ENVELOPE, BODY, short_at(PHASES[at]))
    assert isinstance(outcomes, TryNext) == (at != ".")
    if isinstance(outcomes, TryNext):
        assert outcomes.end
        assert outcomes.end.elsewhere == set(ENVELOPE.recipients)
        outcomes = outcomes.end.outcomes
    assert set(outcomes) == set(ENVELOPE.recipients)
    for outcome in outcomes.values():
        assert isinstance(outcome, Deferred)
        assert outcome.text.startswith(f"Connected to {IP} but ")
        assert ("Possible duplicate!" in outcome.text) == (at == ".")
        assert len(outcome.text) < 300


@pytest.mark.parametrize("ending", [b"", b"250 and one more\r\n", b"421 no more\r\n"])
async def test_a_session_that_ends_with_its_greeting_means_the_next_host(ending: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.readline()
        writer.write(PLAIN + ending)

    async with listening(handler) as port:
        for _ in range(20):  # the end may also come after MAIL is on its way
            result = await send(HOST, port, ENVELOPE, BODY, TERMS)
            assert isinstance(result, TryNext)
            assert result.reason.startswith(f"Connected to {IP} but ")


async def test_a_peer_that_stops_reading_the_body_defers_without_doubt() -> None:
    stopped = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer = MemoryPeer(ehlo=PLAIN)
        writer.write(GREETING)
        while not (peer.lines and peer.lines[-1] == "DATA"):
            writer.write(peer.take(await reader.read(65536)))
        await stopped.wait()

    async with listening(handler) as port:
        body = b"x" * 12_000_000  # more than both sockets' buffers
        outcomes = await send(HOST, port, ENVELOPE, body, short_at(Phase.BODY))
        stopped.set()
    assert not isinstance(outcomes, TryNext)
    assert {outcome.text for outcome in outcomes.values()} == {DIED + "(#4.4.2)"}


async def test_a_trickle_does_not_stretch_the_time_for_one_reply() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            writer.write(b"2")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.01)

    async with listening(handler) as port:
        result = await send(HOST, port, ENVELOPE, BODY, short_at(Phase.BANNER))
    assert isinstance(result, TryNext)
    assert result.reason == DIED + "(#4.4.2)"


async def test_a_banner_that_refuses_is_answered_with_quit() -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer, b"554 5.7.1 not you\r\n")) as port:
        result = await send(HOST, port, ENVELOPE, BODY, TERMS)
    said = "554 5.7.1 not you"
    reason = f"Connected to {IP} but greeting failed./Remote host said: {said}"
    assert result == TryNext(reason, connected=True, reply=said)
