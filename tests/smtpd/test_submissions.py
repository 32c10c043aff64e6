"""Listeners with TLS from the first octet: on sockets, over a real bus."""

import asyncio
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from services.smtpd.facts import Kind
from tests.smtpd.listening import (
    GREETING,
    LOCAL,
    SHORT,
    all_left,
    listening,
    raw,
    refused,
    told,
    trust,
)
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost.certificates import DEFAULT, Certificates, Pair
from tubepost.priority import of_mail

BOB = b64encode(b"\0bob\0correct horse").decode()


@pytest.fixture
def tls(cert: tuple[Path, Path]) -> ssl.SSLContext:
    return Certificates(Pair(DEFAULT, *cert)).context


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what sends no event."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a session that joins tells nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_user_sends_over_submissions(
    smtpd: Smtpd, tls: ssl.SSLContext, client_tls: ssl.SSLContext, host: str, proxied: bool
) -> None:
    await trust(smtpd)
    async with (
        listening(smtpd, Kind.SUBMISSIONS, tls, proxy=proxied, host=host) as port,
        raw(port, host) as client,
    ):
        if proxied:
            await client.say(told("2001:db8::7"))
        await client.begin_tls(client_tls)
        assert (await client.reply()) == GREETING
        offers = await client.offers()
        assert "STARTTLS" not in offers
        assert "AUTH PLAIN LOGIN" in offers
        assert await client.ask("MAIL FROM:<bob@example.net>") == (
            "530 5.7.1 Authorization required (#5.7.1)"
        )
        assert await client.ask(f"AUTH PLAIN {BOB}") == "235 2.0.0 ok, go ahead (#2.0.0)"
        await client.begin_mail("joe@example.org")
        await client.say(b"hi\r\n.\r\n")
        assert (await client.reply()).startswith("250 2.0.0 ok ")
    record, field, _ = await smtpd.only_mail()
    seen = "2001:db8::7" if proxied else host
    assert f" (bob@example.net@{seen})\r\n".encode() in field
    assert b" with ESMTPSA id " in field
    assert record.priority == of_mail(b"", submitted=True, recipients=1)


async def test_smtplib_speaks_submissions(
    smtpd: Smtpd, tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    def send(port: int) -> None:
        with smtplib.SMTP_SSL("localhost", port, context=client_tls, timeout=PATIENCE) as client:
            client.login("bob", "correct horse")
            client.sendmail("bob@example.net", ["joe@example.org"], b"Subject: x\r\n\r\nhi\r\n")

    async with listening(smtpd, Kind.SUBMISSIONS, tls) as port:
        await asyncio.to_thread(send, port)
    assert len(await smtpd.mails()) == 1


async def test_the_header_and_the_first_octets_of_tls_may_come_together(
    smtpd: Smtpd, tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """A balancer may send them in one segment, and may cut them anywhere."""
    await trust(smtpd)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        peer.do_handshake()
    hello = outgoing.read()
    async with listening(smtpd, Kind.SUBMISSIONS, tls, proxy=True) as port, raw(port) as client:
        await client.say(told("192.0.2.7") + hello[:40])
        await client.say(hello[40:])
        while True:
            incoming.write(await client.hear())
            try:
                peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        await client.say(outgoing.read())
        while True:
            try:
                assert peer.read() == GREETING.encode() + b"\r\n"
                break
            except ssl.SSLWantReadError:
                incoming.write(await client.hear())


@pytest.mark.parametrize("octets", [b"EHLO x\r\n", b"\x16\x03\x01", b"\0" * 100_000, LOCAL, b""])
@pytest.mark.parametrize("ends", [True, False])
async def test_who_begins_no_tls_is_let_go_without_a_word(
    smtpd: Smtpd, tls: ssl.SSLContext, octets: bytes, ends: bool
) -> None:
    seconds = PATIENCE if ends else SHORT
    extra = listening(smtpd, Kind.SUBMISSIONS, tls, opening_seconds=seconds)
    async with extra as port, raw(port) as client:
        await client.say(octets)
        if ends:
            client.end()
        assert b"220" not in await client.all_that_comes()
        await all_left(smtpd)


async def test_a_drain_does_not_wait_for_who_has_not_begun(
    smtpd: Smtpd, tls: ssl.SSLContext
) -> None:
    await trust(smtpd)
    async with (
        listening(smtpd, Kind.SUBMISSIONS, tls, proxy=True) as port,
        raw(port) as silent,
        raw(port) as half,
    ):
        await half.say(told("192.0.2.7") + b"\x16\x03\x01")
        listener = smtpd.listeners["extra"]
        await until(lambda: len(listener.sessions) == 2)
        await listener.drain(PATIENCE)
        assert not listener.sessions
        assert await silent.all_that_comes() == b""
        assert await half.all_that_comes() == b""


@pytest.mark.parametrize("header", [told("192.0.2.7"), LOCAL])
async def test_a_header_in_front_of_tls_from_anybody_else_is_refused(
    smtpd: Smtpd, tls: ssl.SSLContext, header: bytes
) -> None:
    before = refused()
    async with listening(smtpd, Kind.SUBMISSIONS, tls, proxy=True) as port, raw(port) as client:
        await client.say(header)
        assert await client.all_that_comes() == b""
    assert refused() == before + 1


async def test_who_begins_no_tls_takes_no_more_than_a_session(
    smtpd: Smtpd, tls: ssl.SSLContext
) -> None:
    """Else half-open handshakes would take all the descriptors, whatever concurrencyincoming is."""
    await smtpd.set(concurrencyincoming="2")
    async with listening(smtpd, Kind.SUBMISSIONS, tls) as port:
        async with raw(port) as first, raw(port) as second:
            await until(lambda: smtpd.meter.openings == 2)
            async with raw(port) as third:
                assert await third.hear() == b""
            assert smtpd.meter.openings == 2
            for client in (first, second):
                client.end()
        await all_left(smtpd)
        assert smtpd.meter.openings == 0
