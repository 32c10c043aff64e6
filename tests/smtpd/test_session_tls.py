"""STARTTLS and AUTH on real sockets, with the standard library's client and with a hostile one."""

import asyncio
import re
import smtplib
import socket
import ssl
from base64 import b64encode

import pytest

from tests.smtpd.client import Client, connected
from tests.smtpd.running import PATIENCE, Smtpd, running
from tubepost import metrics
from tubepost.nats_bus import NatsBus

RIGHT = b"AUTH PLAIN " + b64encode(b"\0bob\0correct horse") + b"\r\n"
WRONG = b"AUTH PLAIN " + b64encode(b"\0bob\0wrong") + b"\r\n"
A_MAIL = b"MAIL FROM:<bob@example.net>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\nhi\r\n.\r\n"


async def begin_tls(client: Client, client_tls: ssl.SSLContext) -> None:
    assert (await client.ask("STARTTLS")).startswith("220 ")
    await client.begin_tls(client_tls)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_submission_with_smtplib(
    smtpd: Smtpd, client_tls: ssl.SSLContext, mechanism: str, at_once: bool
) -> None:
    def send() -> None:
        with smtplib.SMTP("localhost", smtpd.ports["submission"], timeout=PATIENCE) as client:
            client.starttls(context=client_tls)
            client.ehlo("laptop")
            assert client.esmtp_features["auth"].strip() == "PLAIN LOGIN"
            client.user, client.password = "bob", "correct horse"
            answer = client.auth_plain if mechanism == "PLAIN" else client.auth_login
            assert client.auth(mechanism, answer, initial_response_ok=at_once)[0] == 235
            client.sendmail("bob@example.net", ["joe@example.org"], b"Subject: x\r\n\r\nhi\r\n")

    await asyncio.to_thread(send)
    record, field, body = await smtpd.only_mail()
    assert (record.channel, record.destination) == ("remote", "example.org")
    assert b" (HELO laptop) (bob@example.net@127.0.0.1)\r\n" in field
    assert re.search(rb" with ESMTPSA id \w+ \(version=TLSv1\.3 cipher=TLS_\w+ bits=\d+\); ", field)
    assert body == b"Subject: x\r\n\r\nhi\r\n"


async def test_without_a_certificate_there_is_neither_tls_nor_a_login(bus: NatsBus) -> None:
    async with running(bus) as smtpd, connected(smtpd.ports["submission"]) as client:
        assert await client.ask("STARTTLS") == "454 TLS not available (#4.7.0)"
        assert await client.ask("EHLO laptop") == "250 SIZE 52428800"
        assert await client.ask("STARTTLS") == "454 4.7.0 TLS not available (#4.7.0)"
        login = RIGHT.decode().strip()
        assert await client.ask(login) == "538 5.3.3 auth not available without TLS (#5.3.3)"


async def test_plaintext_behind_starttls_is_not_heard(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    """CVE-2011-0411: what a man in the middle adds must not be taken for the client's words."""
    async with connected(smtpd.ports["smtp"]) as client:
        await client.say(
            b"STARTTLS\r\nEHLO x\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<ann@example.net>\r\n"
        )
        assert (await client.reply()).startswith("220 ")
        await client.begin_tls(client_tls)
        assert await client.ask("HELP") == "214 Tubepost: see RFC 5321"
        assert await client.ask("RCPT TO:<ann@example.net>") == "503 MAIL first (#5.5.1)"


async def test_the_name_said_before_tls_is_forgotten(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    """RFC 3207 4.2: it may be a man in the middle's."""
    async with connected(smtpd.ports["smtp"]) as client:
        await client.ask("EHLO forged.example")
        await begin_tls(client, client_tls)
        await client.begin_mail()
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")
    _, field, _ = await smtpd.only_mail()
    assert b"forged" not in field
    assert b" (version=TLSv1.3 " in field


async def test_a_client_that_begins_no_tls_is_let_go(smtpd: Smtpd) -> None:
    listener = smtpd.listeners["smtp"]
    async with connected(smtpd.ports["smtp"]) as client:
        assert (await client.ask("STARTTLS")).startswith("220 ")
        listener.emptied.clear()
        await client.say(b"NOOP\r\n" * 10)
        await asyncio.wait_for(listener.emptied.wait(), PATIENCE)
    assert not listener.sessions


async def test_tls_begins_once(smtpd: Smtpd, client_tls: ssl.SSLContext) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await begin_tls(client, client_tls)
        assert (await client.ask("STARTTLS"))[:3] in ("503", "454")


def hostile(port: int, tls: ssl.SSLContext, octets: bytes, until: bytes) -> socket.socket:
    """A client that says all it has at once, and never answers the server's end of TLS.

    It returns, still connected, when the server has said `until` and ended.
    """
    raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
    raw.sendall(b"STARTTLS\r\n")
    heard = b""
    while b"220 ready" not in heard or not heard.endswith(b"\r\n"):
        heard += raw.recv(4096)
    client = tls.wrap_socket(raw, server_hostname="localhost")
    client.sendall(octets)
    heard = b""
    while block := client.recv(4096):
        heard += block
    assert until in heard
    return client


async def sends_on(smtpd: Smtpd, tls: ssl.SSLContext, octets: bytes, until: bytes) -> None:
    """Plays `hostile` against submission; returns when nothing of it can be under way."""
    port = smtpd.ports["submission"]
    client = await asyncio.to_thread(hostile, port, tls, octets, until)
    async with connected(port) as other:  # takes longer than what the hostile one waits for
        await begin_tls(other, tls)
        await other.say(RIGHT)
        assert (await other.reply()).startswith("235 ")
        await other.ask("MAIL FROM:<bob@example.net>", "RCPT TO:<ann@example.net>", "DATA")
        assert (await other.ask("honest\r\n.")).startswith("250 ok ")
    client.close()
    _, _, body = await smtpd.only_mail()
    assert body == b"honest\r\n"


async def test_guesses_behind_the_last_failure_are_not_heard(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    """Else one connection tries a dictionary, and the mail that arrives tells which word it was."""
    await sends_on(smtpd, client_tls, WRONG * 3 + RIGHT + A_MAIL, b"535 authentication failed")


async def test_nothing_is_heard_behind_a_bare_line_end(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    refused = A_MAIL.replace(b"hi", b"one\ntwo")
    await sends_on(smtpd, client_tls, RIGHT + refused + A_MAIL, b"\r\n451 See ")


async def test_nothing_is_heard_behind_quit(smtpd: Smtpd, client_tls: ssl.SSLContext) -> None:
    await sends_on(smtpd, client_tls, RIGHT + b"QUIT\r\n" + A_MAIL, b"\r\n221 ")


async def test_a_drain_ends_beside_a_client_that_keeps_a_closed_session(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    port = smtpd.ports["submission"]
    client = await asyncio.to_thread(hostile, port, client_tls, b"QUIT\r\n", b"221 ")
    listener = smtpd.listeners["submission"]
    try:
        await listener.drain(0)
    finally:
        client.close()
        await asyncio.wait_for(listener.emptied.wait(), PATIENCE)


@pytest.mark.parametrize("octets", [b"\xff\xfe", b"A" * 70_000])
async def test_a_senseless_response_is_malformed(
    smtpd: Smtpd, client_tls: ssl.SSLContext, octets: bytes
) -> None:
    bugs = metrics.BUGS._value.get()
    async with connected(smtpd.ports["submission"]) as client:
        await begin_tls(client, client_tls)
        assert await client.ask("AUTH PLAIN") == "334 "
        await client.say(octets + b"\r\n")
        assert (await client.reply()).startswith("50")
        assert await client.ask("NOOP") == "250 ok"
    assert metrics.BUGS._value.get() == bugs


async def test_every_password_we_give_out_can_be_sent_at_once(
    smtpd: Smtpd, client_tls: ssl.SSLContext
) -> None:
    """255 characters, each two octets, and a name: RFC 4954 section 4 allows 12,288 octets."""
    password = "ä" * 255
    await smtpd.answer_logins(carl=password)
    async with connected(smtpd.ports["submission"]) as client:
        await begin_tls(client, client_tls)
        initial = b64encode(f"\0carl\0{password}".encode()).decode()
        assert await client.ask(f"AUTH PLAIN {initial}") == "235 ok, go ahead (#2.0.0)"
