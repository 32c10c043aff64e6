"""remote whole, on a real bus: mails share a kept connection, and it does not delay the stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.remote import app
from services.remote.settings import Settings
from tests.nats_server import NatsServer
from tests.remote.site import Site, quits
from tests.remote.smtp_peer import listening
from tubepost import admin, subjects
from tubepost.control import Control
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.record import Envelope
from tubepost.routing import Route
from tubepost.runtime import Context
from tubepost.tasks import background


@pytest.fixture
async def stopping() -> asyncio.Event:
    return asyncio.Event()


@asynccontextmanager
async def remote(server: NatsServer, stopping: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    health = admin.Health()
    context = Context("remote", admin.create_app(health, "", "unverified"), health, stopping)
    settings = Settings(nats_url=server.url, shards=2, hostname="me.example")
    running = asyncio.create_task(app.serve(settings, context))
    async with asyncio.timeout(20):
        await context.is_ready.wait()
        yield running
        stopping.set()
        await running


async def queue(bus: NatsBus, name: str) -> None:
    """A mail in the queue, and the job for it."""
    store, route = MailStore(bus, 2), Route(subjects.REMOTE, "example.net")
    envelope = Envelope("s@example.org", ("a@example.net",))
    key = await store.accept(envelope, [route], b"hello\r\n", mail_id=name, now=1.0)
    held = await store.read(key)
    assert held is not None
    await bus.append(key.job(subjects.REMOTE), subjects.job(held.seq), expect=0)


async def test_a_kept_connection_takes_the_next_mail_and_ends_at_the_stop(
    bus: NatsBus, nats_server: NatsServer, stopping: asyncio.Event
) -> None:
    async with listening(site := Site()) as port:
        control = Control(bus, "me.example")
        async with background(control.run()):
            await control.mirror.loaded.wait()
            await control.set("smtproutes", (f":127.0.0.1:{port}",))
            await control.set("connectionidle", ("300",))
        async with remote(nats_server, stopping) as running:
            for number in range(3):
                await queue(bus, f"m{number}")
                await site.until_mails(number + 1)
            assert site.bodies == [3]
            assert site.open == 1
            stopping.set()
            await site.until_open(0)
            await running
    assert quits(site) == [True]
