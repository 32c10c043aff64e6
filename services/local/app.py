"""local's wiring: a worker with a courier that writes Maildirs."""

import time

from services.local.courier import LocalCourier
from services.local.forwarding import Forwarding
from services.local.quotas import Quotas
from services.local.room import Room
from services.local.settings import Settings
from services.local.writer import Writer
from tubepost import subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.resolver import Resolver
from tubepost.runtime import Context
from tubepost.shard_count import agreed
from tubepost.tasks import background


async def serve(settings: Settings, context: Context) -> None:
    """Delivers until `context.stopping` is set."""
    context.health.checks["local: mail root"] = lambda: (
        "" if settings.mail_root.is_dir() else f"{settings.mail_root} is not a folder"
    )
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        control, directory = Control(bus, settings.hostname), Directory(bus)
        writer = Writer(settings.mail_root, mounted=settings.mail_root_mounted)
        quotas = Quotas(bus, directory, control, settings.mail_root, writer.put)
        async with background(control.run(), directory.run(), writer.run(), quotas.run()):
            await control.mirror.loaded.wait()
            await directory.loaded()
            store = MailStore(bus, settings.shards)
            forwarding = Forwarding(store, directory, control, time.time, events)
            resolver = Resolver(directory, control)
            worker = Worker(
                bus,
                store,
                subjects.LOCAL,
                LocalCourier(resolver, settings.mail_root, writer, forwarding, quotas),
                slots=settings.slots,
                clock=time.time,
                rules=lambda: control.retry_rules,
                events=events,
            )
            async with agreed(control, settings.shards):
                room = Room(directory, settings.mail_root, quotas)
                await bus.answer(subjects.QUOTA_ROOM, room.answer, group=subjects.LOCAL)
                context.ready()
                await worker.run(context.stopping)
