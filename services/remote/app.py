"""remote's wiring: a worker with a courier that speaks SMTP."""

import time

from services.remote import api
from services.remote.attempt import RemoteCourier
from services.remote.metering import Metering
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.remembering import RememberingCourier
from services.remote.settings import Settings
from services.remote.suppressions import Suppressions
from tubepost import subjects
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
            metering, suppressions = Metering(time.monotonic), Suppressions(bus, time.time)
            context.before_metrics.append(metering.measure)
            context.app.include_router(api.router(suppressions, control, time.time))
            worker = Worker(
                bus,
                MailStore(bus, settings.shards),
                subjects.REMOTE,
                _remembering(_courier(settings, control), metering, suppressions, control),
                slots=settings.slots,
                clock=time.time,
                rules=lambda: control.retry_rules,
                events=events,
            )
            async with agreed(control, settings.shards):
                context.ready()
                await worker.run(context.stopping)


def _remembering(
    courier: RemoteCourier, metering: Metering, suppressions: Suppressions, control: Control
) -> RememberingCourier:
    return RememberingCourier(
        courier=courier,
        suppressions=suppressions,
        control=control,
        clock=time.time,
        counted=metering,
    )


def _courier(settings: Settings, control: Control) -> RemoteCourier:
    servers = settings.nameserver_ips
    return RemoteCourier(
        plan=planner(control, settings.source_address),
        resolver=DnsResolver(servers, port=settings.nameserver_port, seconds=settings.dns_seconds),
        pool=Pool(),
    )
