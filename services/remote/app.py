"""remote's wiring: a worker with a courier that speaks SMTP."""

import time

from services.remote import tls
from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool, limits_of
from services.remote.settings import Settings
from tubepost import remote_values, subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.mailstore import MailStore
from tubepost.runtime import Context
from tubepost.shard_count import agreed
from tubepost.tasks import background
from tubepost.tls_policy import Level


async def serve(settings: Settings, context: Context) -> None:
    """Delivers until `context.stopping` is set."""
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control = Control(bus, settings.hostname)
        async with background(control.run()):
            await control.mirror.loaded.wait()
            pool = Pool(limits_of(control))
            worker = Worker(
                bus,
                MailStore(bus, settings.shards),
                subjects.REMOTE,
                _courier(settings, control, pool),
                slots=settings.slots,
                clock=time.time,
                rules=lambda: control.retry_rules,
                events=events,
            )
            async with agreed(control, settings.shards), pool.open_until(context.stopping):
                context.ready()
                await worker.run(context.stopping)


def _courier(settings: Settings, control: Control, pool: Pool) -> RemoteCourier:
    servers = settings.nameserver_ips
    ca_file = str(settings.ca_file or "")
    tls.context(Level.VERIFY, ca_file)  # a file that cannot be used is told at the start
    return RemoteCourier(
        plan=planner(control, settings.source_ips, ca_file=ca_file),
        resolver=DnsResolver(
            servers,
            port=settings.nameserver_port,
            seconds=settings.dns_seconds,
            families=lambda: control.get(remote_values.IPFAMILIES),
        ),
        pool=pool,
    )
