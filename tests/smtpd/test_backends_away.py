"""smtpd as its process runs it, while what is behind it is stopped, killed, or does not answer.

Each test has a nats-server of its own. Patience and pauses are shortened; that they end is what is
tested, not when.
"""

import asyncio
import contextlib
import os
import signal
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.smtpd import app, backends
from services.smtpd.settings import Settings
from tests.conftest import PLAN
from tests.nats_server import NatsServer
from tests.smtpd.client import Client, connected
from tests.smtpd.test_session_faults import in_a_hurry
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.admin import Health, create_app
from tubepost.directory_values import Account, account_key, domain_key, entry_value
from tubepost.keyed import Bucket
from tubepost.nats_bus import NatsBus
from tubepost.provision import provision
from tubepost.runtime import Context

PATIENCE = 30.0
"""Seconds for what takes less than five: only a test that has failed waits so long."""

AUTH = "AUTH PLAIN " + b64encode(b"\0bob\0correct horse").decode()
LATER = "451 unable to check this recipient now (#4.3.0)"


@dataclass(slots=True)
class World:
    """A server, smtpd on it, and a bus on which a test plays popauth."""

    server: NatsServer
    bus: NatsBus
    context: Context
    client_tls: ssl.SSLContext

    async def becomes(self, told: Callable[[dict[str, str]], bool]) -> None:
        """Returns once the reasons not to be ready are such."""
        async with asyncio.timeout(PATIENCE):
            while not told(self.context.health.reasons()):  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.01)

    async def is_ready(self) -> None:
        await self.becomes(lambda reasons: not reasons)

    async def misses(self, *names: str) -> None:
        wanted = {f"smtpd: {name}" for name in names}
        await self.becomes(lambda reasons: wanted <= reasons.keys())

    async def popauth(self) -> None:
        """Begins to answer, as popauth does."""

        async def here(_subject: str, _data: bytes) -> bytes:
            return b"here"

        async def check(_subject: str, _data: bytes) -> bytes:
            return b'{"result": "accepted", "account": "bob@example.net"}'

        await self.bus.answer(subjects.AUTH_HERE, here, group="popauth")
        await self.bus.answer(subjects.AUTH_CHECK, check, group="popauth")

    async def popauth_hangs(self) -> None:
        """Hears, and says nothing."""

        async def nothing(_subject: str, _data: bytes) -> None:
            return None

        await self.bus.answer(subjects.AUTH_HERE, nothing, group="popauth")
        await self.bus.answer(subjects.AUTH_CHECK, nothing, group="popauth")

    @contextlib.asynccontextmanager
    async def client(self, listener: str) -> AsyncIterator[Client]:
        port = int(self.context.addresses[listener].rpartition(":")[2])
        async with connected(port) as client:
            yield client

    @contextlib.asynccontextmanager
    async def user(self) -> AsyncIterator[Client]:
        """A client of submission, under TLS."""
        async with self.client("submission") as client:
            assert (await client.ask("STARTTLS")).startswith("220 ")
            await client.begin_tls(self.client_tls)
            yield client


async def stored_account(bus: NatsBus, text: str) -> None:
    address = parse_address(text)
    bucket = Bucket(bus, subjects.DIRECTORY)
    await bucket.put(domain_key(address.domain), {})
    await bucket.put(account_key(address), entry_value(Account(text, "home", "no hash")))


@pytest.fixture
async def world(
    tmp_path: Path,
    cert: tuple[Path, Path],
    client_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    monkeypatch.setattr(backends, "EVERY", 0.05)
    monkeypatch.setattr(backends, "AGAIN", 0.05)
    server = NatsServer.plain(tmp_path)
    server.start()
    bus = await server.connect()
    await provision(bus.client, PLAN)
    await stored_account(bus, "ann@example.net")
    health = Health()
    context = Context("smtpd", create_app(health, ""), health, asyncio.Event())
    settings = Settings(
        nats_url=server.url,
        smtp="127.0.0.1:0",
        submission="127.0.0.1:0",
        tls_cert=cert[0],
        tls_key=cert[1],
    )
    running = asyncio.create_task(app.serve(settings, context))
    await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
    yield World(server, bus, context, client_tls)
    server.start()
    os.kill(server.pid, signal.SIGCONT)
    context.stopping.set()
    await running
    await bus.close()
    server.stop()


async def test_without_popauth_a_login_is_454_and_it_is_not_ready(world: World) -> None:
    await world.misses("logins")
    async with world.user() as user:
        assert (await user.ask(AUTH)).startswith("454 ")
        await world.popauth()
        await world.is_ready()
        assert (await user.ask(AUTH)).startswith("235 ")


async def test_a_popauth_that_hangs_is_not_ready_either(world: World) -> None:
    await world.popauth_hangs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NatsBus.ask, "__kwdefaults__", {"seconds": 0.3})
        await world.becomes(lambda reasons: "timeout" in reasons.get("smtpd: logins", ""))
        async with world.user() as user:
            assert (await user.ask(AUTH)).startswith("454 ")


async def test_a_failed_login_has_popauth_asked_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def here(_subject: str, _data: bytes) -> bytes:
        asked.set()
        return b"here"

    await world.misses("logins")
    monkeypatch.setattr(backends, "EVERY", 3600.0)
    await world.bus.answer(subjects.AUTH_HERE, here, group="popauth")
    await world.is_ready()
    asked.clear()
    async with world.user() as user:
        assert (await user.ask(AUTH)).startswith("454 ")  # nobody answers auth.check
    await asyncio.wait_for(asked.wait(), PATIENCE)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
async def test_while_the_bus_is_away_all_is_temporary(world: World, how: signal.Signals) -> None:
    """Whom smtpd was asked for lately it still knows; of all others it says that it cannot tell.

    A change cannot have been made meanwhile that it would have to know: the bus is away for all
    who write, or, where only this smtpd is cut off, its DATA is 451. So what it knows is no promise
    to take the mail, only no reason to refuse it. Nobody gets a 5xx.
    """
    await world.popauth()
    await world.is_ready()
    await stored_account(world.bus, "bea@example.net")
    async with world.client("smtp") as client, world.user() as user:
        await client.begin_mail()  # to ann@example.net
        assert (await client.ask("hi\r\n.")).startswith("250 ok ")
        if how is signal.SIGKILL:
            world.server.kill()
        else:
            os.kill(world.server.pid, how)
        await world.misses("store", "directory", "logins")
        with in_a_hurry(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(NatsBus.ask, "__kwdefaults__", {"seconds": 0.3})
            assert (await user.ask(AUTH)).startswith("454 ")
            assert await client.ask("MAIL FROM:<joe@example.org>") == "250 ok"
            assert await client.ask("RCPT TO:<nobody@example.net>") == LATER
            assert await client.ask("RCPT TO:<joe@example.org>") == LATER
            assert await client.ask("RCPT TO:<bea@example.net>") == LATER  # never asked for
            assert await client.ask("RCPT TO:<ann@example.net>") == "250 ok"
            assert await client.ask("DATA", "hi\r\n.") == "451 qqt failure (#4.3.0)"
        world.server.start()
        os.kill(world.server.pid, signal.SIGCONT)
        await world.is_ready()
        await client.begin_mail()
        assert (await client.ask("again\r\n.")).startswith("250 ok ")
        assert (await user.ask(AUTH)).startswith("235 ")


async def test_a_directory_without_a_leader_is_away(world: World) -> None:
    await world.popauth()
    await world.is_ready()
    stream = subjects.bucket_stream(subjects.DIRECTORY)
    await world.bus.client.jetstream().delete_stream(stream)
    await world.becomes(lambda reasons: set(reasons) == {"smtpd: directory"})
