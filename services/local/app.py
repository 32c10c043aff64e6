"""local's wiring: a worker with a courier that writes Maildirs."""

import time

from services.local.courier import LocalCourier, Writer
from services.local.quotas import Quotas
from services.local.room import Room
from services.local.settings import Settings
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
        control, directory, writer = Control(bus, settings.hostname), Directory(bus), Writer()
        quotas = Quotas(bus, directory, control, settings.mail_root, writer.put)
        async with background(control.run(), directory.run(), writer.run(), quotas.run()):
            await control.mirror.loaded.wait()
            await directory.loaded()
            worker = Worker(
                bus,
                MailStore(bus, settings.shards),
                subjects.LOCAL,
                LocalCourier(Resolver(directory, control), settings.mail_root, writer, quotas),
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
