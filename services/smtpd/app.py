"""smtpd's wiring: builds the parts, listens, drains."""

import asyncio
import time

from services.smtpd import places
from services.smtpd.api import router
from services.smtpd.gather import Gatherer
from services.smtpd.intake import Intake, watch_store
from services.smtpd.listener import Listener, Parts
from services.smtpd.places import Place
from services.smtpd.session import sessions
from services.smtpd.settings import Settings
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.relay_list import RelayList
from tubepost.runtime import Context, bound, server_tls
from tubepost.shard_count import agreed
from tubepost.tasks import background

GOODBYE = 10.0
"""Seconds sessions that are in DATA have to end."""


async def serve(settings: Settings, context: Context) -> None:
    """Accepts mail until `context.stopping` is set."""
    wanted = _places(settings)
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control, directory = Control(bus, settings.hostname), Directory(bus)
        intake = Intake(MailStore(bus, settings.shards), directory, control, time.time, events)
        async with background(control.run(), directory.run(), watch_store(bus, intake)):
            await control.mirror.loaded.wait()
            await directory.mirror.loaded.wait()
            async with agreed(control, settings.shards):
                context.app.include_router(router(intake, control))
                gatherer = Gatherer(control, directory, RelayList(bus, time.time))
                parts = Parts(bus, control, gatherer, intake)
                tls = server_tls(settings.tls_cert, settings.tls_key)
                listeners = {
                    place: Listener(place.name, place.kind, parts, tls, place.proxy)
                    for place in wanted
                }
                await _listen(context, listeners, reuse_port=settings.reuse_port)


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
    for listener in listeners.values():
        await listener.drain(GOODBYE)
