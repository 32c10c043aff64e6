"""services/local/app.py as a process runs it: what it answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.local.app import serve
from services.local.settings import Settings
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.admin import Health, create_app
from tubepost.nats_bus import NatsBus
from tubepost.runtime import Context

PATIENCE = 10.0


@pytest.fixture
async def local(bus: NatsBus, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Context]:
    settings = Settings(nats_url=nats_server.url, mail_root=tmp_path)
    health = Health()
    context = Context("local", create_app(health, ""), health, asyncio.Event())
    service = asyncio.create_task(serve(settings, context))
    await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
    yield context
    context.stopping.set()
    await asyncio.wait_for(service, PATIENCE)


@pytest.mark.usefixtures("local")
async def test_it_tells_how_much_a_mailbox_holds(bus: NatsBus) -> None:
    assert await bus.ask(subjects.QUOTA_ROOM, b"nobody@example.net") == b'{"used": 0, "mails": 0}'
    assert await bus.ask(subjects.QUOTA_ROOM, b"no address") == b"{}"
