"""Clients that are early, slow, deaf or wrong, on sockets: how a session with them ends."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from services.smtpd import pace, patience
from services.smtpd.session import Session
from tests.smtpd.client import Client, connected
from tests.smtpd.running import PATIENCE, Smtpd

EARLY = "554 sorry, wait for my greeting (#5.5.1)"
TIMEOUT = "451 timeout (#4.4.2)"
TARPIT = "421 too many errors or recipients, goodbye (#4.7.0)"
SHUT = "421 shutting down, try again (#4.3.2)"


@contextlib.asynccontextmanager
async def ungreeted(smtpd: Smtpd, listener: str = "smtp") -> AsyncIterator[Client]:
    """A client that has not read the greeting yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", smtpd.ports[listener])
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def all_gone(smtpd: Smtpd, listener: str = "smtp") -> None:
    """Returns when the last session is over."""
    found = smtpd.listeners[listener]
    found.emptied.clear()
    if found.sessions:
        await asyncio.wait_for(found.emptied.wait(), PATIENCE)
    assert not found.sessions


async def test_who_talks_before_the_greeting_is_refused(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="60")
    async with ungreeted(smtpd) as client:
        await client.say(b"EHLO spam.example\r\n")
        assert await client.reply() == EARLY
        assert await client.is_closed()


async def test_who_waits_is_greeted(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="1")
    async with ungreeted(smtpd) as client:
        assert await client.reply() == "220 mail.example ESMTP"
        assert await client.ask("NOOP") == "250 ok"


async def test_who_relays_by_rule_does_not_wait(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="60", tcprules='127.:allow,RELAYCLIENT=""')
    async with connected(smtpd.ports["smtp"]) as client:
        assert await client.ask("NOOP") == "250 ok"


async def test_users_do_not_wait(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="60")
    async with connected(smtpd.ports["submission"]) as client:
        assert await client.ask("NOOP") == "250 ok"


async def test_the_wait_ends_when_we_end(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="60")
    async with ungreeted(smtpd) as client, connected(smtpd.ports["submission"]):
        await smtpd.listeners["smtp"].drain(PATIENCE)
        assert await client.reply() == SHUT
        assert await client.is_closed()


async def test_the_wait_ends_when_the_client_goes(smtpd: Smtpd) -> None:
    await smtpd.set(greetdelay="60")
    async with ungreeted(smtpd), connected(smtpd.ports["submission"]):
        pass
    await all_gone(smtpd)


async def test_who_closes_before_the_greeting_has_not_talked(smtpd: Smtpd) -> None:
    """The TCP check of a load balancer is no error of its address."""
    await smtpd.set(greetdelay="60", smtprates="errors:10/h")
    async with ungreeted(smtpd) as client:
        client.end()
        assert await client.reply() in ("220 mail.example ESMTP", "")
        assert await client.is_closed()
    await all_gone(smtpd)
    assert smtpd.meter.nearest(1) == []


async def test_the_last_word_is_one_reply(smtpd: Smtpd) -> None:
    """The refusal is an error that is the last one allowed: it is counted, and not said twice."""
    await smtpd.set(greetdelay="60", maxerrors="1", smtprates="errors:1/h")
    async with ungreeted(smtpd) as client:
        await client.say(b"EHLO spam.example\r\n")
        assert await client.reply() == EARLY
        assert await client.is_closed()
    async with ungreeted(smtpd) as client:
        assert await client.reply() == "421 too many errors, try again later (#4.7.0)"
        assert await client.is_closed()


async def test_who_comes_while_we_end_is_told_so(smtpd: Smtpd) -> None:
    """The kernel had taken the connection, and its session began after the others were told."""
    await smtpd.listeners["smtp"].drain(PATIENCE)
    async with ungreeted(smtpd) as client:
        assert await client.reply() == SHUT
        assert await client.is_closed()
    await all_gone(smtpd)


async def in_the_tarpit(smtpd: Smtpd, client: Client, delay: str) -> None:
    """Two recipients are accepted and the third is on its way."""
    await smtpd.set(tarpitcount="2", tarpitdelay=delay)
    await client.ask("MAIL FROM:<>", *["RCPT TO:<ann@example.net>"] * 2)
    await client.say(b"RCPT TO:<ann@example.net>\r\n")


async def test_recipients_after_the_count_wait(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await in_the_tarpit(smtpd, client, "60")
        await smtpd.listeners["smtp"].drain(PATIENCE)
        assert await client.reply() == SHUT  # no 250 came before
        assert await client.is_closed()


async def test_errors_after_the_count_wait_and_a_mail_does_not(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await in_the_tarpit(smtpd, client, "1")
        assert await client.reply() == "250 ok"
        await smtpd.set(tarpitdelay="60")
        assert await client.ask("DATA") == "354 go ahead"
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")
        assert await client.ask("DATA", "DATA") == "503 RCPT first (#5.5.1)"
        await client.say(b"DATA\r\n")
        await smtpd.listeners["smtp"].drain(PATIENCE)
        assert await client.reply() == SHUT
    assert len(await smtpd.mails()) == 1


async def test_999_is_no_delay_but_the_end(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await in_the_tarpit(smtpd, client, "999")
        assert await client.reply() == TARPIT
        assert await client.is_closed()


async def test_silence_in_data_has_a_limit_of_its_own(smtpd: Smtpd) -> None:
    await smtpd.set(timeoutdata="1")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        await client.say(b"half a mail")
        assert await client.reply() == TIMEOUT
        assert await client.is_closed()
    assert await smtpd.mails() == []


async def test_a_mail_that_comes_too_slowly_is_cut_off(
    smtpd: Smtpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "GRACE", 0.0)
    await smtpd.set(datarate=str(2**30))
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        await client.say(b"half a mail")
        assert await client.reply() == TIMEOUT
        assert await client.is_closed()
    assert await smtpd.mails() == []


async def test_half_a_command_is_cut_off(smtpd: Smtpd) -> None:
    await smtpd.set(timeoutsmtpd="1")
    async with connected(smtpd.ports["smtp"]) as client:
        await client.say(b"NOOP\r\nMAIL FROM:<j")
        assert await client.reply() == "250 ok"
        assert await client.reply() == TIMEOUT
        assert await client.is_closed()


async def test_half_a_tls_handshake_is_cut_off(smtpd: Smtpd) -> None:
    await smtpd.set(timeoutsmtpd="1")
    async with connected(smtpd.ports["smtp"]) as client:
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await client.say(b"\x16\x03\x01")
        await all_gone(smtpd)


async def test_a_tls_handshake_ends_when_we_end(smtpd: Smtpd) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await smtpd.listeners["smtp"].drain(PATIENCE)
        assert not smtpd.listeners["smtp"].sessions


async def test_half_an_auth_exchange_is_cut_off(smtpd: Smtpd, client_tls: ssl.SSLContext) -> None:
    await smtpd.set(timeoutsmtpd="1")
    async with connected(smtpd.ports["submission"]) as client:
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await client.begin_tls(client_tls)
        assert (await client.ask("AUTH LOGIN")).startswith("334 ")
        assert await client.reply() == TIMEOUT
        assert await client.is_closed()


async def test_a_client_that_reads_no_replies_is_cut_off(
    smtpd: Smtpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it keeps the connection, and what we have to say to it, for ever."""
    monkeypatch.setattr(patience, "LINGER", 0.01)
    await smtpd.set(timeoutsmtpd="1")
    loop = asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", smtpd.ports["smtp"]))
        await loop.sock_recv(deaf, 1)  # so there is a session
        [session] = smtpd.listeners["smtp"].sessions
        assert isinstance(session, Session)
        assert session.transport
        ours: socket.socket = session.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await loop.sock_sendall(deaf, b"EHLO x\r\n" * 5000)
        await all_gone(smtpd)
