"""A body that takes long to make ready for its peer holds up nobody else."""

import asyncio
from email import message_from_bytes

from services.remote.connection import LONG, NotTaken, Session
from services.remote.mx import Host
from services.remote.smtp.commands import with_line_ends
from services.remote.smtp.seven_bit import MAX_LINE, SLICE, as_seven_bit
from tests.remote.smtp_peer import PLAIN, TERMS, MemoryPeer, listening, speaking
from tubepost.outcome import Delivered
from tubepost.record import Envelope

IP = "127.0.0.1"
ENVELOPE = Envelope("s@example.org", ("a@example.net",))
HEADER = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
LINE = "Grüße = aus der Ferne. \r\n".encode()
LONG_BODY = HEADER + LINE * (2 * LONG // len(LINE))


async def opened(port: int) -> Session:
    session = await Session.open(Host(IP, IP, port), TERMS)
    assert isinstance(session, Session)
    return session


async def test_others_have_their_turn_before_a_long_body_is_ready() -> None:
    peer = MemoryPeer(ehlo=PLAIN)
    async with listening(speaking(peer)) as port:
        session = await opened(port)
        sending = asyncio.create_task(session.deliver(ENVELOPE, LONG_BODY))
        await asyncio.sleep(0)
        assert session.mails == 0
        outcomes = await sending
        session.close()
    assert isinstance(outcomes, dict)
    assert isinstance(outcomes["a@example.net"], Delivered)
    assert peer.bodies == [as_seven_bit(LONG_BODY)]


async def test_a_session_that_ends_meanwhile_takes_nothing() -> None:
    peer = MemoryPeer(ehlo=PLAIN)
    async with listening(speaking(peer)) as port:
        session = await opened(port)
        sending = asyncio.create_task(session.deliver(ENVELOPE, LONG_BODY))
        await asyncio.sleep(0)
        session.close()
        assert isinstance(await sending, NotTaken)
    assert peer.bodies == []


def test_a_text_of_many_slices_is_the_same_once_decoded() -> None:
    content = LINE * (3 * SLICE // len(LINE))
    seven = as_seven_bit(HEADER + content)
    assert seven.isascii()
    assert max(map(len, seven.split(b"\r\n"))) <= 76
    assert message_from_bytes(seven).get_payload(decode=True) == content


def test_a_line_without_end_goes_as_it_is() -> None:
    for length, converted in ((SLICE * 2, True), (MAX_LINE + 1, False)):
        body = HEADER + b"\xff" * length + b"\r\n"
        assert as_seven_bit(body).isascii() is converted


def test_line_ends_of_all_kinds_become_one() -> None:
    assert with_line_ends(b"a\rb\nc\r\n\r\r\n\n\nd\r") == b"a\r\nb\r\nc\r\n\r\n\r\n\r\n\r\nd\r\n"
