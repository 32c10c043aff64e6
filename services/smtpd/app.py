"""smtpd's wiring: builds the parts, listens, drains."""

import asyncio
import time

from services.smtpd.api import router
from services.smtpd.facts import Kind
from services.smtpd.gather import Gatherer
from services.smtpd.intake import SUBMISSION, Intake, watch_store
from services.smtpd.listener import Listener, Parts
from services.smtpd.lookups import Lookups
from services.smtpd.session import sessions
from services.smtpd.settings import Settings
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.dns_client import DnsClient
from tubepost.mailstore import MailStore
from tubepost.relay_list import RelayList
from tubepost.runtime import Context, bound, server_tls
from tubepost.settings import parse_listen
from tubepost.shard_count import agreed
from tubepost.tasks import background

GOODBYE = 10.0
"""Seconds sessions that are in DATA have to end."""


async def serve(settings: Settings, context: Context) -> None:
    """Accepts mail until `context.stopping` is set."""
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control, directory = Control(bus, settings.hostname), Directory(bus)
        intake = Intake(MailStore(bus, settings.shards), directory, control, time.time, events)
        async with background(control.run(), directory.run(), watch_store(bus, intake)):
            await control.mirror.loaded.wait()
            await directory.mirror.loaded.wait()
            async with agreed(control, settings.shards):
                context.app.include_router(router(intake, control))
                relay_list = RelayList(bus, time.time)
                gatherer = Gatherer(control, directory, relay_list)
                dns = _dns(settings)
                lookups = Lookups(control, dns, relay_list)
                parts = Parts(bus, control, gatherer, intake, lookups)
                context.health.checks[f"{context.service}: dns"] = lambda: dns.away
                async with background(dns.watch(lambda: lookups.wishes.about_dns)):
                    await _listen(context, _listeners(settings, parts))


def _dns(settings: Settings) -> DnsClient:
    return DnsClient(
        settings.nameserver_ips, port=settings.nameserver_port, seconds=settings.dns_seconds
    )


def _listeners(settings: Settings, parts: Parts) -> dict[str, tuple[str, Listener]]:
    """name -> (HOST:PORT, listener)."""
    tls = server_tls(settings.tls_cert, settings.tls_key)
    found = {"smtp": (settings.smtp, Listener("smtp", Kind.MX, parts, tls))}
    if settings.submission:
        listener = Listener(SUBMISSION, Kind.SUBMISSION, parts, tls)
        found[SUBMISSION] = (settings.submission, listener)
    return found


async def _listen(context: Context, listeners: dict[str, tuple[str, Listener]]) -> None:
    loop = asyncio.get_running_loop()
    servers = {}
    for name, (listen, listener) in listeners.items():
        host, port = parse_listen(listen)
        servers[name] = await loop.create_server(sessions(listener), host, port, backlog=512)
    context.ready(**{name: bound(server.sockets[0]) for name, server in servers.items()})
    await context.stopping.wait()
    for server in servers.values():
        server.close()
    for _, listener in listeners.values():
        await listener.drain(GOODBYE)
