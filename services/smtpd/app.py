"""smtpd's wiring: builds the parts, listens, drains."""

import asyncio
import secrets
import time
from ssl import SSLContext

from services.smtpd import backends, check, rates_api
from services.smtpd.api import router
from services.smtpd.backends import Backends
from services.smtpd.budget import Budget
from services.smtpd.facts import Kind
from services.smtpd.gather import Gatherer
from services.smtpd.gossip import Gossip
from services.smtpd.intake import SUBMISSION, Intake
from services.smtpd.listener import Listener, Parts
from services.smtpd.meter import Meter
from services.smtpd.rates import Rates
from services.smtpd.room import Room
from services.smtpd.session import sessions
from services.smtpd.settings import Settings
from tubepost import metrics, subjects
from tubepost.certificates import server_tls
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.ports import Bus
from tubepost.relay_list import RelayList
from tubepost.runtime import Context, bound
from tubepost.settings import parse_listen
from tubepost.shard_count import agreed
from tubepost.tasks import background

GOODBYE = 10.0
"""Seconds sessions that are in DATA have to end."""


async def serve(settings: Settings, context: Context) -> None:
    """Accepts mail until `context.stopping` is set."""
    tls = server_tls(settings, context.before_metrics)
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control, directory = Control(bus, settings.hostname), Directory(bus)
        intake = Intake(MailStore(bus, settings.shards), directory, control, time.time, events)
        gossip = Gossip(bus, Rates(secrets.token_hex(8)), time.time)
        meter = Meter(gossip.rates, control, time.time, gossip.wake)
        async with background(control.run(), directory.run(), gossip.run()):
            await control.mirror.loaded.wait()
            await directory.mirror.loaded.wait()
            async with agreed(control, settings.shards):
                relay_list = RelayList(bus, time.time)
                gatherer = Gatherer(control, directory, relay_list, Room(bus), meter)
                for routes in (router(intake, control), check.router(gatherer)):
                    context.app.include_router(routes)
                context.app.include_router(rates_api.router(meter))
                context.health.checks["smtpd: sessions"] = meter.full
                context.before_metrics.append(meter.measure)
                watch, memory = Backends(), Budget(settings.data_memory)
                metrics.SMTP_DATA_MEMORY.set_function(lambda: memory.used)
                parts = Parts(bus, control, gatherer, intake, memory, watch)
                listeners = _listeners(settings, parts, tls)
                watch.add("store", lambda: intake.measure_store(bus), context.health)
                watch.add("directory", directory.reach, context.health)
                if any(listener.kind.auth_required and tls for _, listener in listeners.values()):
                    watch.add(backends.LOGINS, lambda: _reach_popauth(bus), context.health)
                async with background(watch.run()):
                    await _listen(context, listeners)


async def _reach_popauth(bus: Bus) -> None:
    await bus.ask(subjects.AUTH_HERE, b"", seconds=2.0)


def _listeners(
    settings: Settings, parts: Parts, tls: SSLContext | None
) -> dict[str, tuple[str, Listener]]:
    """name -> (HOST:PORT, listener)."""
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
