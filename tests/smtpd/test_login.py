"""AUTH on real sockets: whom a wrong password holds up, and CRAM-MD5 with popauth's own logins."""

import asyncio
import smtplib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.popauth.logins import Logins
from services.popauth.secrets import Secrets
from services.smtpd.login import cram_challenge
from tests.popauth.directory import Office, office
from tests.smtpd.client import Client, connected
from tests.smtpd.running import PATIENCE, Smtpd, running
from tubepost import metrics, subjects
from tubepost.certificates import DEFAULT, Certificates, Pair
from tubepost.nats_bus import NatsBus
from tubepost.relay_list import RelayList

RIGHT = "AUTH PLAIN " + b64encode(b"\0bob\0correct horse").decode()
WRONG = "AUTH PLAIN " + b64encode(b"\0bob\0wrong").decode()
SO_LONG = "60"
"""Seconds of authdelay: six times what a test waits for anything."""


@pytest.fixture
async def slow(smtpd: Smtpd) -> Smtpd:
    """A wrong password waits longer than any test."""
    await smtpd.set(authdelay=SO_LONG, authplaintext="1")
    return smtpd


async def waiting(smtpd: Smtpd, client: Client) -> None:
    """Returns while the client waits for the reply to its wrong password."""
    refused = metrics.LOGINS.labels("smtp", "refused")._value
    before = refused.get()
    await client.say(WRONG.encode() + b"\r\n")
    async with asyncio.timeout(PATIENCE):
        while refused.get() == before:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)


async def test_a_wrong_password_holds_up_nobody_else(slow: Smtpd) -> None:
    port = slow.ports["submission"]
    async with connected(port) as guesser, connected(port) as other:
        await waiting(slow, guesser)
        assert (await other.ask(RIGHT)).startswith("235 ")
        assert len(slow.listeners["submission"].sessions) == 2


async def test_the_wait_ends_with_the_drain(slow: Smtpd) -> None:
    async with connected(slow.ports["submission"]) as guesser:
        await waiting(slow, guesser)
        await slow.listeners["submission"].drain(PATIENCE)
        assert await guesser.reply() == "421 shutting down, try again (#4.3.2)"
        assert await guesser.is_closed()
    assert not slow.listeners["submission"].sessions


async def test_the_wait_ends_when_the_client_hangs_up(
    slow: Smtpd, client_tls: ssl.SSLContext
) -> None:
    listener = slow.listeners["submission"]
    async with connected(slow.ports["submission"]) as guesser:
        assert (await guesser.ask("STARTTLS")).startswith("220 ")
        await guesser.begin_tls(client_tls)
        await waiting(slow, guesser)
        listener.emptied.clear()
    await asyncio.wait_for(listener.emptied.wait(), PATIENCE)


async def test_the_wait_is_not_the_clients_silence(slow: Smtpd) -> None:
    """timeoutsmtpd does not run while the client waits for us."""
    await slow.set(timeoutsmtpd="1", authdelay="2")
    async with connected(slow.ports["submission"]) as guesser:
        assert await guesser.ask(WRONG) == "535 authentication failed (#5.7.1)"


async def test_popauth_away_is_temporary(bus: NatsBus) -> None:
    async with running(bus) as smtpd:  # and nobody answers auth.check
        await smtpd.set(authplaintext="1")
        async with connected(smtpd.ports["submission"]) as client:
            assert await client.ask(RIGHT) == (
                "454 oops, unable to check your password now (#4.3.0)"
            )
            assert await client.ask("NOOP") == "250 ok"


def test_no_challenge_comes_twice() -> None:
    found = {cram_challenge("mail.example") for _ in range(1000)}
    assert len(found) == 1000
    assert all(c.startswith("<") and c.endswith("@mail.example>") for c in found)


@pytest.fixture
async def whole(bus: NatsBus, cert: tuple[Path, Path]) -> AsyncIterator[tuple[Smtpd, Office]]:
    """smtpd and popauth's logins on one bus; ann@example.net exists."""
    async with (
        running(bus, Certificates(Pair(DEFAULT, *cert)).context) as smtpd,
        office(bus) as found,
    ):
        logins = Logins(
            found.directory,
            found.passwords,
            RelayList(bus, lambda: 0.0),
            found.control,
            secrets=Secrets(bus),
            mail_root=Path("/mail"),
            window=600,
            instance="popauth-1",
        )
        await bus.answer(subjects.AUTH_CHECK, logins.check, group="popauth")
        await smtpd.set(authmechanisms="cram-md5 plain")
        await found.accounts.add_domain("example.net")
        await found.accounts.add_account("ann@example.net", "correct horse")
        yield smtpd, found


async def logged_in(
    smtpd: Smtpd, tls: ssl.SSLContext, mechanism: str, user: str, password: str
) -> int:
    """The code smtplib gets."""

    def log_in() -> int:
        with smtplib.SMTP("localhost", smtpd.ports["submission"], timeout=PATIENCE) as client:
            client.starttls(context=tls)
            client.ehlo("laptop")
            client.user, client.password = user, password
            answer = getattr(client, f"auth_{mechanism}")
            try:
                name = mechanism.upper().replace("_", "-")
                return int(client.auth(name, answer, initial_response_ok=False)[0])
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code

    return await asyncio.to_thread(log_in)


async def test_cram_md5_is_for_who_asked_for_it(
    whole: tuple[Smtpd, Office], client_tls: ssl.SSLContext
) -> None:
    """Without a secret it is refused like a wrong answer; a plain passwd takes it away again."""
    smtpd, popauth = whole

    async def cram(password: str) -> int:
        return await logged_in(smtpd, client_tls, "cram_md5", "Ann@example.net", password)

    assert await cram("correct horse") == 535
    assert await cram("") == 535
    await popauth.accounts.set_password("ann@example.net", "staple battery", reversible=True)
    assert await cram("staple battery") == 235
    assert await cram("correct horse") == 535
    assert await cram("") == 535
    await popauth.accounts.set_password("ann@example.net", "staple battery")
    assert await cram("staple battery") == 535
    assert await logged_in(smtpd, client_tls, "plain", "ann@example.net", "staple battery") == 235


@pytest.mark.parametrize("flag", ["no_smtp", "locked", "must_change"])
async def test_who_may_not_use_auth_is_refused_with_the_right_password(
    whole: tuple[Smtpd, Office], client_tls: ssl.SSLContext, flag: str
) -> None:
    smtpd, popauth = whole
    await popauth.accounts.set_password("ann@example.net", "correct horse", reversible=True)
    await popauth.accounts.set_flags("ann@example.net", {flag: True})
    for mechanism in ("plain", "cram_md5"):
        found = await logged_in(smtpd, client_tls, mechanism, "ann@example.net", "correct horse")
        assert found == 535
    await popauth.accounts.set_flags("ann@example.net", {flag: False})
    assert await logged_in(smtpd, client_tls, "plain", "ann@example.net", "correct horse") == 235
