"""Listeners behind a load balancer that speaks the PROXY protocol: on sockets, over a real bus."""

import pytest

from services.smtpd.facts import Kind
from services.smtpd.proxy import BINARY
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
from tests.smtpd.running import Smtpd
from tubepost import metrics

NOT_BELIEVED = "421 sorry, a PROXY header from your address is not believed (#4.7.0)"
OF_NOBODY = b"PROXY UNKNOWN\r\n"


def broken(listener: str = "extra") -> float:
    value: float = metrics.PROXY_HEADERS_BROKEN.labels(listener)._value.get()
    return value


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
            assert (await client.reply()).startswith("250 2.0.0 ok ")
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


async def test_who_is_no_proxy_is_served_without_a_header(smtpd: Smtpd) -> None:
    await trust(smtpd, "10.0.0.0/8")
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        assert await client.reply() == GREETING
        assert (await client.ask("EHLO x")).startswith("250 ")


async def test_a_balancer_behind_a_balancer_does_not_relay_either(smtpd: Smtpd) -> None:
    await trust(smtpd, "127.0.0.1", "10.0.0.2")
    await smtpd.set(tcprules=('10.:allow,RELAYCLIENT=""',))
    async with listening(smtpd, Kind.MX, proxy=True) as port, raw(port) as client:
        await client.say(told("10.0.0.2"))
        assert await client.reply() == GREETING
        reply = await client.ask("MAIL FROM:<joe@example.org>", "RCPT TO:<joe@example.org>")
        assert reply.startswith("553 ")
