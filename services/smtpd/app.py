"""smtpd's wiring: builds the parts, listens, drains."""

import asyncio
import secrets
import time

from services.smtpd import backends, check, places, rates_api
from services.smtpd.api import router
from services.smtpd.backends import Backends
from services.smtpd.budget import Budget
from services.smtpd.gather import Gatherer
from services.smtpd.gossip import Gossip
from services.smtpd.intake import Intake
from services.smtpd.listener import Listener, Parts
from services.smtpd.lookups import Lookups
from services.smtpd.meter import Meter
from services.smtpd.places import Place
from services.smtpd.rates import Rates
from services.smtpd.room import Room
from services.smtpd.session import sessions
from services.smtpd.settings import Settings
from tubepost import metrics, subjects
from tubepost.certificates import server_tls
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.dns_client import DnsClient
from tubepost.events import Teller
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus
from tubepost.relay_list import RelayList
from tubepost.runtime import Context, bound
from tubepost.shard_count import agreed
from tubepost.tasks import background

GOODBYE = 10.0
"""Seconds sessions that are in DATA have to end."""


async def serve(settings: Settings, context: Context) -> None:
    """Accepts mail until `context.stopping` is set."""
    wanted = _places(settings)
    tls = server_tls(settings, context.before_metrics)
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        gossip = Gossip(bus, Rates(secrets.token_hex(8)), time.time)
        dns = _dns(settings)
        parts = _parts(settings, bus, events, gossip, dns)
        control, directory = parts.control, parts.gather.directory
        async with background(control.run(), directory.run(), gossip.run()):
            await control.mirror.loaded.wait()
            await directory.loaded()
            async with agreed(control, settings.shards):
                _show(context, parts, dns)
                watch = _watch(context, bus, parts, wanted)
                async with background(watch.run(), dns.watch(parts.wants_dns)):
                    listeners = {
                        place: Listener(place.name, place.kind, parts, tls, place.proxy)
                        for place in wanted
                    }
                    await _listen(context, listeners, reuse_port=settings.reuse_port)


def _parts(
    settings: Settings, bus: NatsBus, events: Teller, gossip: Gossip, dns: DnsClient
) -> Parts:
    """What all listeners share."""
    control, directory = Control(bus, settings.hostname), Directory(bus)
    meter = Meter(gossip.rates, control, time.time, gossip.wake)
    gatherer = Gatherer(control, directory, RelayList(bus, time.time), Room(bus), meter)
    memory = Budget(settings.data_memory)
    metrics.SMTP_DATA_MEMORY.set_function(lambda: memory.used)
    return Parts(
        bus,
        control,
        gatherer,
        Intake(MailStore(bus, settings.shards), directory, control, time.time, events),
        Lookups(gatherer, dns),
        memory,
    )


def _dns(settings: Settings) -> DnsClient:
    return DnsClient(
        settings.nameserver_ips, port=settings.nameserver_port, seconds=settings.dns_seconds
    )


def _show(context: Context, parts: Parts, dns: DnsClient) -> None:
    """What others may ask: /v1, readiness, metrics."""
    for routes in (
        router(parts.intake, parts.control, parts.gather.directory),
        check.router(parts.gather, parts.lookups),
        rates_api.router(parts.meter),
    ):
        context.app.include_router(routes)
    context.health.checks["smtpd: sessions"] = parts.meter.full
    context.health.checks["smtpd: dns"] = lambda: dns.away
    context.before_metrics.append(parts.meter.measure)


def _watch(context: Context, bus: NatsBus, parts: Parts, wanted: list[Place]) -> Backends:
    """Asks what stands behind us whether it is there; readiness follows."""
    watch = parts.backends
    watch.add("store", lambda: parts.intake.measure_store(bus), context.health)
    watch.add("directory", parts.gather.directory.reach, context.health)
    if any(place.kind.auth_required for place in wanted):
        watch.add(backends.LOGINS, lambda: _reach_popauth(bus), context.health)
    return watch


async def _reach_popauth(bus: Bus) -> None:
    await bus.ask(subjects.AUTH_HERE, b"", seconds=2.0)


def _places(settings: Settings) -> list[Place]:
    """Where to listen. Raises BadInput."""
    named = {
        "smtp": settings.smtp,
        "submission": settings.submission,
        "submissions": settings.submissions,
    }
    found = [*places.standard(named), *places.parse(settings.listeners)]
    places.check_certificate(found, has_one=settings.tls_cert is not None)
    return found


async def _listen(context: Context, listeners: dict[Place, Listener], *, reuse_port: bool) -> None:
    loop = asyncio.get_running_loop()
    servers = {}
    for place, listener in listeners.items():
        servers[place.name] = await loop.create_server(
            sessions(listener),
            place.host,
            place.port,
            backlog=512,
            reuse_port=reuse_port or None,
        )
    context.ready(**{name: bound(server.sockets[0]) for name, server in servers.items()})
    await context.stopping.wait()
    for server in servers.values():
        server.close()
    await asyncio.gather(*(listener.drain(GOODBYE) for listener in listeners.values()))
