"""smtpd as its process puts it together: not ready while no name server answers it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.smtpd.app import serve
from services.smtpd.settings import Settings
from tests.dns_server import DnsServer, serving_dns
from tests.nats_server import NatsServer
from tests.smtpd.client import connected
from tests.smtpd.running import PATIENCE
from tubepost import dns_client, subjects
from tubepost.admin import Health, create_app
from tubepost.dns_client import DnsClient
from tubepost.keyed import Bucket
from tubepost.nats_bus import NatsBus
from tubepost.runtime import Context

ZONE = "sender.example. IN A 192.0.2.1"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """What is found out about the name servers, each time."""
    found: asyncio.Queue[str] = asyncio.Queue()
    known = DnsClient._is_away

    def is_away(self: DnsClient, why: str) -> None:
        known(self, why)
        found.put_nowait(why)

    monkeypatch.setattr(DnsClient, "_is_away", is_away)
    monkeypatch.setattr(dns_client, "PROBE_SECONDS", 0.1)
    return found


@contextlib.asynccontextmanager
async def serving(nats_server: NatsServer, zone: DnsServer) -> AsyncIterator[Context]:
    """A running smtpd that asks `zone`."""
    settings = Settings(
        nats_url=nats_server.url,
        hostname="mail.example",
        smtp="127.0.0.1:0",
        nameservers="127.0.0.1",
        nameserver_port=zone.port,
        dns_seconds=0.2,
    )
    health = Health()
    context = Context("smtpd", create_app(health, "secret"), health, asyncio.Event())
    service = asyncio.create_task(serve(settings, context))
    try:
        await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
        yield context
    finally:
        context.stopping.set()
        await asyncio.wait_for(service, PATIENCE)


async def test_readiness_follows_the_name_servers(
    bus: NatsBus, nats_server: NatsServer, looks: asyncio.Queue[str]
) -> None:
    await Bucket(bus, subjects.CONTROL).put("mfdnscheck", {"lines": ["1"]})
    await Bucket(bus, subjects.CONTROL).put("rcpthosts", {"lines": ["backup.example"]})
    async with serving_dns(ZONE) as zone, serving(nats_server, zone) as context:
        zone.mute = True
        port = int(context.addresses["smtp"].rpartition(":")[2])
        async with connected(port) as client:
            mail = ("MAIL FROM:<joe@sender.example>", "RCPT TO:<ann@backup.example>")
            assert await client.ask(*mail) == "451 DNS temporary failure (#4.4.3)"
            assert await asyncio.wait_for(looks.get(), PATIENCE)
            assert context.health.reasons() == {"smtpd: dns": "no name server answers"}
            zone.mute = False
            while await asyncio.wait_for(looks.get(), PATIENCE):
                pass
            assert context.health.reasons() == {}
            assert await client.ask(*mail) == "250 ok"
