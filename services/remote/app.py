"""remote's wiring: a worker with a courier that speaks SMTP."""

import time

from services.remote import hosts_api
from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.settings import Settings
from services.remote.site import SiteAnswers
from tubepost import remote_values, subjects
from tubepost.control import Control
from tubepost.delivery import Worker
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
            health = SharedHealth(bus, time.time, lambda: control.get(remote_values.HOSTBACKOFF))
            context.app.include_router(hosts_api.router(health))
            context.before_metrics.append(health.measure)
            courier = _courier(settings, control, health)
            await SiteAnswers(courier, health).listen(bus)
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
            async with agreed(control, settings.shards), background(health.run()):
                context.ready()
                await worker.run(context.stopping)


def _courier(settings: Settings, control: Control, health: SharedHealth) -> RemoteCourier:
    servers = settings.nameserver_ips
    return RemoteCourier(
        plan=planner(control, settings.source_address),
        resolver=DnsResolver(servers, port=settings.nameserver_port, seconds=settings.dns_seconds),
        pool=Pool(),
        health=health,
    )
