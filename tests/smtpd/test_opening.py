"""Listeners with implicit TLS, behind a load balancer, on IPv6: on sockets, over a real bus."""

import asyncio
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from services.smtpd.facts import Kind
from services.smtpd.proxy import BINARY
from tests.smtpd.listening import listening, raw
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost import metrics
from tubepost.priority import of_mail
from tubepost.runtime import server_tls

GREETING = "220 mail.example ESMTP"
NOT_BELIEVED = "421 sorry, a PROXY header from your address is not believed (#4.7.0)"
OF_NOBODY = b"PROXY UNKNOWN\r\n"
LOCAL = BINARY + b"\x20\x00\x00\x00"
BOB = b64encode(b"\0bob\0correct horse").decode()
SHORT = 0.2
"""Seconds for what shall not come."""


@pytest.fixture
def tls(cert: tuple[Path, Path]) -> ssl.SSLContext:
    found = server_tls(*cert)
    assert found
    return found


def told(ip: str) -> bytes:
    family = "TCP6" if ":" in ip else "TCP4"
    return f"PROXY {family} {ip} {ip} 40000 25\r\n".encode()


def broken(listener: str = "extra") -> float:
    value: float = metrics.PROXY_HEADERS_BROKEN.labels(listener)._value.get()
    return value


def refused() -> float:
    value: float = metrics.MAILS_REFUSED.labels("proxy")._value.get()
    return value


async def trust(smtpd: Smtpd, *networks: str) -> None:
    await smtpd.set(proxynetworks=networks or ("127.0.0.1", "::1"))


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what sends no event."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a session that joins tells nobody
            await asyncio.sleep(0)


async def all_left(smtpd: Smtpd) -> None:
    """Waits until the extra listener has no session."""
    listener = smtpd.listeners["extra"]
    while listener.sessions:
        listener.emptied.clear()
        await asyncio.wait_for(listener.emptied.wait(), PATIENCE)


# --- TLS from the first octet


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
            "530 authorization required (#5.7.1)"
        )
        assert await client.ask(f"AUTH PLAIN {BOB}") == "235 ok, go ahead (#2.0.0)"
        await client.begin_mail("joe@example.org")
        await client.say(b"hi\r\n.\r\n")
        assert (await client.reply()).startswith("250 ok ")
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


# --- behind a load balancer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ip", ["192.0.2.7", "2001:db8::7"])
async def test_the_real_address_is_what_rules_and_the_queue_see(
    smtpd: Smtpd, host: str, ip: str
) -> None:
    await trust(smtpd)
    await smtpd.set(tcprules=(f"{ip}:deny",))
    await smtpd.relay_list.add("198.51.100.9", user="bob@example.net", window=60, by="test")
    async with listening(smtpd, Kind.MX, proxy=True, host=host) as port:
        async with raw(port, host) as client:
            await client.say(told(ip))
            assert (await client.reply()).startswith("554 sorry, your address")
            assert await client.is_closed()
        async with raw(port, host) as client:
            await client.say(told("198.51.100.9") + b"EHLO x\r\n")  # nobody waits for a greeting
            assert await client.reply() == GREETING
            assert (await client.reply()).startswith("250 ")
            await client.begin_mail("joe@example.org")
            await client.say(b"hi\r\n.\r\n")
            assert (await client.reply()).startswith("250 ok ")
    _, field, _ = await smtpd.only_mail()
    assert b"198.51.100.9" in field
    assert host.encode() not in field
    [accepted] = [event for event in smtpd.told.events if event["event"] == "accepted"]
    assert (accepted["client"], accepted["user"]) == ("198.51.100.9", "bob@example.net")


@pytest.mark.parametrize("header", [OF_NOBODY, LOCAL])
async def test_the_proxy_s_own_address_never_relays(smtpd: Smtpd, header: bytes) -> None:
    """Whatever the rules and the relay list say: it stands for everybody behind it."""
    await trust(smtpd)
    await smtpd.set(tcprules=('127.0.0.1:allow,RELAYCLIENT=""',))
    await smtpd.relay_list.add("127.0.0.1", user="bob@example.net", window=60, by="test")
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        await client.say(header)
        assert await client.reply() == GREETING
        reply = await client.ask("MAIL FROM:<joe@example.org>", "RCPT TO:<joe@example.org>")
        assert reply.startswith("553 sorry, that domain isn't in my list")
        assert await client.ask("RCPT TO:<ann@example.net>") == "250 ok"


async def test_nor_does_it_without_a_header_on_another_port(smtpd: Smtpd) -> None:
    await trust(smtpd)
    await smtpd.set(tcprules=('127.0.0.1:allow,RELAYCLIENT=""',))
    async with raw(smtpd.ports["smtp"]) as client:
        assert await client.reply() == GREETING
        reply = await client.ask("MAIL FROM:<joe@example.org>", "RCPT TO:<joe@example.org>")
        assert reply.startswith("553 ")


async def test_a_client_behind_the_proxy_relays_as_any_other(smtpd: Smtpd) -> None:
    await trust(smtpd)
    await smtpd.set(tcprules=('192.0.2.7:allow,RELAYCLIENT=""',))
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        await client.say(told("192.0.2.7"))
        assert await client.reply() == GREETING
        await client.begin_mail("joe@example.org")


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
        b"PROXY " + b"x" * 200,
        BINARY + b"\x21\x11\x00\x04abcd",
        BINARY + b"\x21\x11\xff\xff" + bytes(70_000),
    ],
)
async def test_a_proxy_that_does_not_say_for_whom_it_speaks_is_hung_up_on(
    smtpd: Smtpd, octets: bytes
) -> None:
    await trust(smtpd)
    before = broken()
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        await client.say(octets)
        assert await client.all_that_comes() == b""
        await all_left(smtpd)
    assert broken() == before + 1


@pytest.mark.parametrize("part", [b"", b"PROXY TCP4 192.0.2.7", BINARY])
async def test_half_a_header_has_its_time(smtpd: Smtpd, part: bytes) -> None:
    await trust(smtpd)
    before = broken()
    extra = listening(smtpd, Kind.MX, proxy=True, opening_seconds=SHORT)
    async with extra as port, raw(port) as client:
        await client.say(part)
        assert await client.all_that_comes() == b""
    assert broken() == before + 1


async def test_a_balancer_that_only_looks_whether_we_listen_breaks_nothing(smtpd: Smtpd) -> None:
    await trust(smtpd)
    before = broken()
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        client.end()
        assert await client.all_that_comes() == b""
    assert broken() == before


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("header", [told("192.0.2.7"), OF_NOBODY, LOCAL])
async def test_a_header_from_anybody_else_is_refused(
    smtpd: Smtpd, header: bytes, marked: bool
) -> None:
    await trust(smtpd, "10.0.0.0/8")
    before = refused()
    async with listening(smtpd, Kind.MX, proxy=marked) as port, raw(port) as client:
        assert await client.reply() == GREETING
        await client.say(header)
        heard = (await client.all_that_comes()).decode().splitlines()
        assert heard[-1] == NOT_BELIEVED
        assert all(line.startswith("500 ") for line in heard[:-1])
    assert refused() == before + 1


async def test_even_a_proxy_s_header_is_refused_on_a_listener_that_is_not_for_it(
    smtpd: Smtpd,
) -> None:
    await trust(smtpd)
    async with raw(smtpd.ports["smtp"]) as client:
        assert await client.reply() == GREETING
        await client.say(told("192.0.2.7"))
        assert await client.reply() == NOT_BELIEVED
        assert await client.is_closed()


@pytest.mark.parametrize("header", [told("192.0.2.7"), LOCAL])
async def test_a_header_in_front_of_tls_from_anybody_else_is_refused(
    smtpd: Smtpd, tls: ssl.SSLContext, header: bytes
) -> None:
    before = refused()
    async with listening(smtpd, Kind.SUBMISSIONS, tls, proxy=True) as port, raw(port) as client:
        await client.say(header)
        assert await client.all_that_comes() == b""
    assert refused() == before + 1


async def test_who_is_no_proxy_is_served_without_a_header(smtpd: Smtpd) -> None:
    await trust(smtpd, "10.0.0.0/8")
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        assert await client.reply() == GREETING
        assert (await client.ask("EHLO x")).startswith("250 ")
