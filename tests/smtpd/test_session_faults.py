"""When what is behind a session fails: temporary replies, nothing lost, nothing said too early."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import Iterator

import pytest
from nats.js.api import StreamConfig

from tests.nats_server import NatsServer
from tests.smtpd.client import Client, connected
from tests.smtpd.running import PATIENCE, Smtpd
from tubepost import mailstore, metrics, subjects
from tubepost.nats_bus import NatsBus

FULL = "452 queue is full, try again later (#4.3.1)"


def refusals(verdict: str) -> float:
    return float(metrics.MAILS_REFUSED.labels(verdict)._value.get())


@contextlib.contextmanager
def in_a_hurry() -> Iterator[None]:
    """Short patience with a bus that is away: both are defaults, bound when they were defined."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailstore.patiently, "__defaults__", (0.3,))
        patch.setattr(NatsBus._call, "__kwdefaults__", {"seconds": 0.3})
        yield


async def gone(smtpd: Smtpd, nats_server: NatsServer) -> None:
    """Kills the server; returns when the bus has noticed."""
    nats_server.kill()
    async with asyncio.timeout(PATIENCE):
        while smtpd.bus.connected:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


async def ask_for_ann(client: Client) -> None:
    """So that smtpd knows her from then on, and does not have to ask."""
    rcpt = "RCPT TO:<ann@example.net>"
    assert await client.ask("MAIL FROM:<joe@example.org>", rcpt) == "250 ok"
    await client.ask("RSET")


async def test_while_the_bus_is_away_nothing_is_refused_for_good(
    smtpd: Smtpd, nats_server: NatsServer
) -> None:
    later = "451 unable to check this recipient now (#4.3.0)"
    before = refusals("unavailable")
    async with connected(smtpd.ports["smtp"]) as client:
        await ask_for_ann(client)
        await gone(smtpd, nats_server)
        with in_a_hurry():
            await client.begin_mail()  # to ann, whom it was asked for lately
            assert await client.ask("hi\r\n.") == "451 qqt failure (#4.3.0)"
            await client.ask("MAIL FROM:<joe@example.org>")
            assert await client.ask("RCPT TO:<nobody@example.net>") == later
            assert await client.ask("RCPT TO:<joe@example.org>") == later
        assert refusals("unavailable") == before + 3
        nats_server.start()
        await client.begin_mail()
        assert (await client.ask("again\r\n.")).startswith("250 ok ")
    assert any(body.endswith(b"\r\nagain\r\n") for _, body in await smtpd.mails())


async def test_whose_a_sender_is_has_to_be_known(
    smtpd: Smtpd, nats_server: NatsServer, client_tls: ssl.SSLContext
) -> None:
    """With `authmailfrom account` the directory is asked at MAIL."""
    later = "451 unable to check this sender now (#4.3.0)"
    bob = b64encode(b"\0bob\0correct horse").decode()
    await smtpd.set(authmailfrom="account", enhancedstatuscodes="0")
    before = refusals("unavailable")
    async with connected(smtpd.ports["submission"]) as client:
        await client.ask("EHLO x", "STARTTLS")
        await client.begin_tls(client_tls)
        assert (await client.ask("EHLO x", f"AUTH PLAIN {bob}")).startswith("235 ")
        await gone(smtpd, nats_server)
        with in_a_hurry():
            assert await client.ask("MAIL FROM:<bob@example.net>") == later
            assert await client.ask("RCPT TO:<x@far.example>") == "503 MAIL first (#5.5.1)"
    assert refusals("unavailable") == before + 1


async def test_a_mail_that_was_not_taken_is_not_sent_to_the_bus_later(
    smtpd: Smtpd, nats_server: NatsServer
) -> None:
    async with connected(smtpd.ports["smtp"]) as client:
        await ask_for_ann(client)
        await gone(smtpd, nats_server)
        await client.begin_mail()
        with in_a_hurry():
            assert await client.ask("hi\r\n.") == "451 qqt failure (#4.3.0)"
        waiting = smtpd.bus.client._pending
        assert not [block for block in waiting if b"PUB q." in block]


async def test_a_full_stream_is_452(smtpd: Smtpd) -> None:
    before = refusals("queue_full")
    js = smtpd.bus.client.jetstream()
    for shard in range(2):
        config = (await js.stream_info(subjects.queue_stream(shard))).config
        await js.update_stream(StreamConfig(**{**config.__dict__, "max_bytes": 10}))
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        assert await client.ask("hi\r\n.") == FULL
        assert await client.ask("RCPT TO:<ann@example.net>") == "503 MAIL first (#5.5.1)"
    assert await smtpd.mails() == []
    assert refusals("queue_full") == before + 1


async def test_above_the_high_water_mark_is_452(smtpd: Smtpd) -> None:
    smtpd.intake.store_usage = 0.91
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        assert await client.ask("hi\r\n.") == FULL
        smtpd.intake.store_usage = 0.9
        await client.begin_mail()
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")
    assert len(await smtpd.mails()) == 1


async def test_after_a_bug_of_ours_the_client_is_not_waited_for_for_ever(
    smtpd: Smtpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came while no deadline was set: the client waited for us."""
    await smtpd.set(timeoutsmtpd="1")
    monkeypatch.setattr(smtpd.intake, "_control", None)
    async with connected(smtpd.ports["smtp"]) as client:
        await client.begin_mail()
        assert await client.ask("hi\r\n.") == "451 internal error (#4.3.0)"
        assert await client.reply() == "451 timeout (#4.4.2)"
    assert await smtpd.mails() == []
