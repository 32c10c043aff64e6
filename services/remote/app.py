"""remote's wiring: a worker with a courier that speaks SMTP."""

import time

from services.remote import probe_api
from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.probe import Probe
from services.remote.settings import Settings
from tubepost import remote_values, subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.dns_client import DnsClient
from tubepost.domain_table import name_for
from tubepost.mailstore import MailStore
from tubepost.runtime import Context
from tubepost.shard_count import agreed
from tubepost.tasks import background


async def serve(settings: Settings, context: Context) -> None:
    """Delivers until `context.stopping` is set."""
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control = Control(bus, settings.hostname)
        async with background(control.run()):
            await control.mirror.loaded.wait()
            courier = _courier(settings, control)
            context.app.include_router(probe_api.router(_probe(settings, control, courier)))
            worker = Worker(
                bus,
                MailStore(bus, settings.shards),
                subjects.REMOTE,
                courier,
                slots=settings.slots,
                clock=time.time,
                rules=lambda: control.retry_rules,
                events=events,
            )
            async with agreed(control, settings.shards):
                context.ready()
                await worker.run(context.stopping)


def _courier(settings: Settings, control: Control) -> RemoteCourier:
    servers = settings.nameserver_ips
    return RemoteCourier(
        plan=planner(control, settings.source_address),
        resolver=DnsResolver(servers, port=settings.nameserver_port, seconds=settings.dns_seconds),
        pool=Pool(),
    )


def _probe(settings: Settings, control: Control, courier: RemoteCourier) -> Probe:
    def dns() -> DnsClient:
        """Without what is remembered: an operator wants to know what DNS says now."""
        return DnsClient(
            settings.nameserver_ips, port=settings.nameserver_port, seconds=settings.dns_seconds
        )

    def route(domain: str) -> str | None:
        routes = control.get(remote_values.SMTPROUTES)
        return name_for(routes, domain)

    return Probe(courier=courier, dns=dns, route_of=route)
