"""scheduler's wiring: makes the streams, leases shards, runs an owner for each."""

import asyncio
import contextlib
import os
import secrets
import time
from functools import partial

from services.scheduler import events_api, gauges
from services.scheduler.actions import Actions
from services.scheduler.api import router
from services.scheduler.collector import COLLECTS, Collector
from services.scheduler.holdings import Holdings
from services.scheduler.mails import Mails
from services.scheduler.owner import Owner
from services.scheduler.settings import Settings
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits
from services.scheduler.site_questions import SiteQuestions
from services.scheduler.views import Views
from tubepost import control_values, maillog, subjects
from tubepost.control import Control
from tubepost.domains import Domains
from tubepost.errors import Unavailable
from tubepost.events import Teller
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.pauses import Pauses
from tubepost.provision import Plan, limit_jobs, provision
from tubepost.runtime import Context
from tubepost.shard_count import agreed
from tubepost.tasks import background

PAUSE = 0.5

CHECK_LIMITS = 60.0
"""Seconds until the consumers of DISPATCH are looked at again, with no setting changed."""

CONCURRENCY = {
    subjects.LOCAL: control_values.CONCURRENCYLOCAL,
    subjects.REMOTE: control_values.CONCURRENCYREMOTE,
}


def share(limit: int, shard: int, shards: int) -> int:
    """A shard's part of a limit: all parts together are the limit, but none is 0 unless it is.

    A limit below the number of shards is kept by `limit_jobs`.
    """
    return limit and max(1, limit // shards + (shard < limit % shards))


class Scheduler:
    """The shards this process owns."""

    def __init__(self, bus: NatsBus, settings: Settings, events: Teller) -> None:
        self._bus, self._settings, self.events = bus, settings, events
        self.control, self.directory = Control(bus, settings.hostname), Domains(bus)
        self.pauses = Pauses(bus)
        self.store = MailStore(bus, settings.shards)
        self.questions = SiteQuestions(bus, time.time)
        self._name = f"{settings.hostname}-{os.getpid()}-{secrets.token_hex(4)}"
        self.holdings = Holdings(
            bus, settings.shards, self._name, work=self.own, wanted=self.streams_wanted
        )
        self._plan = Plan(
            settings.shards,
            settings.replicas,
            settings.relay_window,
            settings.events_age,
            settings.events_bytes,
        )
        self._collector = Collector(bus, settings.shards, time.time, settings.orphan_age)
        self._streams_wanted = asyncio.Event()
        self.streams_made = asyncio.Event()
        self._limits_changed = asyncio.Event()
        self.owners: dict[int, Owner] = {}

    async def keep_streams(self) -> None:
        """Makes the streams, and again whenever they seem to be missing. For ever."""
        while True:
            self._streams_wanted.clear()
            try:
                dispatch_is_new = await provision(self._bus.client, self._plan)
            except Unavailable as error:
                maillog.bus_error(str(error))
                await asyncio.sleep(PAUSE)
                continue
            self.streams_made.set()
            self._limits_changed.set()
            if dispatch_is_new:
                await self._jobs_lost()
            await self._streams_wanted.wait()

    async def _jobs_lost(self) -> None:
        """DISPATCH begins empty: for our owners now, then, when they are back, for the others'."""
        await asyncio.gather(*(owner.jobs_lost() for owner in self.owners.values()))
        with contextlib.suppress(Unavailable):  # without the hint they check within minutes
            await self._bus.tell(subjects.JOBS_LOST, self._name.encode())

    async def hear_jobs_lost(self, _subject: str, data: bytes) -> None:
        """Another replica had to make DISPATCH."""
        self._limits_changed.set()
        if data.decode() != self._name:
            await asyncio.gather(*(owner.jobs_lost() for owner in self.owners.values()))

    def streams_wanted(self) -> None:
        """A stream did not answer."""
        self._streams_wanted.set()

    async def own(self, shard: int) -> None:
        """Owns a shard that is leased to us. For ever."""
        settler = Settler(
            self.store,
            self._settings.shards,
            self.control,
            self.directory,
            time.time,
            self.events,
        )
        owner = Owner(
            self._bus,
            shard,
            settler,
            clock=time.time,
            limits=partial(self._limits, shard),
            wanted=self.streams_wanted,
        )
        self.owners[shard] = owner
        self._limits_changed.set()
        every = self._settings.collect_every
        beside = [self._collector.run(every)] if shard == COLLECTS else []
        try:
            async with background(*beside):
                await owner.run()
        finally:
            owner.shard.close()
            del self.owners[shard]

    def _limits(self, shard: int) -> Limits:
        """A shard's part of the limits, which are for all shards together."""
        shards = self._settings.shards
        channel = {
            name: share(self.control.get(setting), shard, shards)
            for name, setting in CONCURRENCY.items()
        }
        paused = self.pauses.channels | self.pauses.destinations
        table, sites = self.control.get(control_values.DESTINATIONS), self.questions.sites
        sites.apply(table, len(self.owners), shards)
        return Limits(channel, table, paused, sites)

    async def limit_jobs(self) -> None:
        """Keeps a limit that is smaller than the number of shards; for the owner of shard 0.

        Looks again now and then: a replica that makes the consumer anew knows nothing of it.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_LIMITS):
                    await self._limits_changed.wait()
            self._limits_changed.clear()
            if 0 not in self.owners:
                continue
            most = {name: self.control.get(setting) for name, setting in CONCURRENCY.items()}
            try:
                await limit_jobs(self._bus.client, most, self._settings.shards)
            except Unavailable as error:
                maillog.bus_error(str(error))
                await asyncio.sleep(PAUSE)
                self._limits_changed.set()

    async def hear_hint(self, _subject: str, data: bytes) -> None:
        """A worker says that a record is gone."""
        key, seq = subjects.parse_hint(data)
        owner = self.owners.get(key.shard)
        if owner:
            owner.gone(key, seq)
        for each in self.owners.values():
            each.unit_ended(key)

    def settings_changed(self) -> None:
        self._limits_changed.set()
        for owner in self.owners.values():
            owner.wake()

    def measure(self) -> None:
        """Sets the gauges of the queue; called when metrics are read."""
        gauges.measure(
            [(owner.shard, self._limits(n)) for n, owner in self.owners.items()], time.time()
        )

    def not_ready(self) -> str:
        """Readiness: the streams are there. Without a shard it is a stand-by, and ready."""
        return "" if self.streams_made.is_set() else "the streams are not made yet"


async def serve(settings: Settings, context: Context) -> None:
    """Schedules until `context.stopping` is set."""
    async with context.bus(settings) as bus, context.events(bus, settings) as events:
        scheduler = Scheduler(bus, settings, events)
        context.health.checks["scheduler: streams"] = scheduler.not_ready
        async with background(scheduler.keep_streams()):
            await scheduler.streams_made.wait()
            mirrored = (scheduler.control, scheduler.directory, scheduler.pauses)
            async with background(*(each.run() for each in mirrored)):
                for each in mirrored:
                    await each.mirror.loaded.wait()
                async with agreed(scheduler.control, settings.shards):
                    await _run(settings, context, bus, scheduler)


async def _run(settings: Settings, context: Context, bus: NatsBus, scheduler: Scheduler) -> None:
    views = Views(bus, settings.shards, scheduler.owners)
    await bus.answer(subjects.DONE_HINT_ANY, scheduler.hear_hint)
    await bus.answer(subjects.JOBS_LOST, scheduler.hear_jobs_lost)
    await bus.answer(subjects.VIEW_ANY, views.answer)
    mails = Mails(scheduler.store, views)
    actions = Actions(scheduler.store, mails, views, time.time, scheduler.events)
    context.app.include_router(router(views, mails, actions, scheduler.pauses, scheduler.events))
    context.app.include_router(events_api.router(events_api.Reader(bus, context.stopping)))
    context.before_metrics.append(scheduler.measure)
    for mirror in (scheduler.control.mirror, scheduler.pauses.mirror):
        mirror.listeners.append(scheduler.settings_changed)
    beside = (scheduler.holdings.run(), scheduler.limit_jobs(), scheduler.questions.run())
    async with background(*beside):
        context.ready()
        await context.stopping.wait()
