"""remote's wiring: a worker with a courier that speaks SMTP."""

import time

from services.remote import hosts_api, probe_api, suppressions_api, tls
from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.metering import Metering
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool, limits_of
from services.remote.probe import Probe
from services.remote.remembering import RememberingCourier
from services.remote.settings import Settings
from services.remote.site import SiteAnswers
from services.remote.suppressions import Suppressions
from tubepost import remote_values, subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.dns_client import DnsClient
from tubepost.domain_table import name_for
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
            metering, suppressions = Metering(time.monotonic), Suppressions(bus, time.time)
            context.before_metrics.append(metering.measure)
            context.app.include_router(suppressions_api.router(suppressions, control, time.time))
            health = SharedHealth(bus, time.time, lambda: control.get(remote_values.HOSTBACKOFF))
            context.app.include_router(hosts_api.router(health))
            context.before_metrics.append(health.measure)
            pool = Pool(limits_of(control), metering)
            courier = _courier(settings, control, pool, health)
            await SiteAnswers(courier, health).listen(bus)
            context.app.include_router(probe_api.router(_probe(settings, control, courier)))
            worker = Worker(
                bus,
                MailStore(bus, settings.shards),
                subjects.REMOTE,
                _remembering(courier, metering, suppressions, control),
                slots=settings.slots,
                clock=time.time,
                rules=lambda: control.retry_rules,
                events=events,
            )
            async with (
                agreed(control, settings.shards),
                background(health.run()),
                pool.open_until(context.stopping),
            ):
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


def _courier(
    settings: Settings, control: Control, pool: Pool, health: SharedHealth
) -> RemoteCourier:
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
        health=health,
        port=settings.mx_port,
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
