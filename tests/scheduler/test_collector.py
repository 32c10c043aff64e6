"""Bodies without a record, on the real bus: what is removed, and what never is."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from services.scheduler.app import Scheduler
from services.scheduler.collector import Collector
from services.scheduler.settings import Settings
from services.scheduler.settle import Settler
from tests.fakes import FakeClock, MemoryBus
from tubepost import lifecycle, subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import Unavailable
from tubepost.events import NOBODY
from tubepost.mailstore import MailStore, new_mail_id
from tubepost.nats_bus import NatsBus
from tubepost.record import INLINE_LIMIT, Envelope
from tubepost.routing import Route
from tubepost.subjects import Key
from tubepost.tasks import background

AGE = 129_600.0
SHARDS = 2
BIG = b"x" * INLINE_LIMIT * 4
FAR, OTHER = Route("remote", "far.example"), Route("remote", "other.example")


class Scene:
    """The clock is the server's, so many seconds later."""

    def __init__(self, bus: NatsBus, clock: FakeClock) -> None:
        self.bus, self.clock, self.store = bus, clock, MailStore(bus, SHARDS)
        self.collector = Collector(bus, SHARDS, clock, AGE)

    async def orphan(self, mail_id: str) -> None:
        """As an smtpd leaves it that dies before it stores the record."""
        await self.store._put_body(mail_id, BIG)

    async def accept(self, mail_id: str, *routes: Route) -> Key:
        to = tuple(f"ann@{route.destination}" for route in routes)
        envelope, now = Envelope("joe@here.example", to), self.clock()
        return await self.store.accept(envelope, routes, BIG, mail_id=mail_id, now=now)

    async def bodies(self) -> set[str]:
        names = await self.bus.subjects(subjects.MAIL, ">")
        return {name.split(".")[1] for name in names}


@pytest.fixture
async def scene(bus: NatsBus, clock: FakeClock) -> Scene:
    await bus.append("$KV.directory.now", b"{}")
    now = await bus.read("KV_directory", "$KV.directory.now", leader=True)
    assert now
    clock.now = now.at
    return Scene(bus, clock)


def collected() -> float:
    return REGISTRY.get_sample_value("tubepost_bodies_collected_total") or 0.0


async def test_a_body_without_a_record_is_removed_when_it_is_old(scene: Scene) -> None:
    mail_id, before = new_mail_id(scene.clock()), collected()
    await scene.orphan(mail_id)
    for _ in range(2):
        assert await scene.collector.collect() == 0
        assert await scene.bodies() == {mail_id}
        scene.clock.advance(AGE / 2)
    scene.clock.advance(60)
    assert await scene.collector.collect() == 1
    assert await scene.bodies() == set()
    assert collected() == before + 1
    assert await scene.collector.collect() == 0


async def test_the_store_s_time_counts_and_not_the_one_in_the_id(scene: Scene) -> None:
    """A bounce's id begins with the time of the mail that failed, a week ago."""
    old = new_mail_id(scene.clock() - 7 * 86_400)
    await scene.orphan(old + "b0a1")
    await scene.orphan("no-time-at-all")
    assert await scene.collector.collect() == 0
    scene.clock.advance(AGE + 60)
    assert await scene.collector.collect() == 2


async def test_a_body_with_a_young_piece_is_left_alone(scene: Scene) -> None:
    await scene.orphan("m")
    scene.clock.advance(AGE + 60)
    later = Collector(scene.bus, SHARDS, scene.clock, AGE + 3600)
    assert await later.collect() == 0
    assert await scene.bodies() == {"m"}


async def test_no_body_that_a_record_speaks_of_is_ever_removed(scene: Scene) -> None:
    clock = scene.clock
    settler = Settler(scene.store, SHARDS, Control(scene.bus, "x"), Directory(scene.bus), clock)
    await scene.accept("whole", FAR)
    await scene.accept("split", FAR, OTHER)
    group = await scene.accept("group", FAR, OTHER)
    await settler.settle(group)
    parked = await scene.store.read(await scene.accept("parked", FAR))
    assert parked
    await scene.store.settle(parked, lambda record: lifecycle.parked(record, "why"))
    await scene.orphan("none")
    clock.advance(7 * 86_400)
    assert await scene.collector.collect() == 1
    assert await scene.bodies() == {"whole", "split", "group", "parked"}


async def test_a_unit_alone_keeps_its_body(scene: Scene) -> None:
    """Whatever became of its group record: somebody still has to deliver it."""
    await scene.orphan("m")
    for shard in range(SHARDS):
        await scene.bus.append(Key(shard, "m", "7").record, b"", headers={"Tubepost": "?"})
        scene.clock.advance(AGE + 60)
        assert await scene.collector.collect() == 0
        await scene.bus.purge(subjects.queue_stream(shard), ">")
    assert await scene.collector.collect() == 1


async def test_where_a_shard_does_not_answer_nothing_is_removed(scene: Scene) -> None:
    await scene.orphan("m")
    scene.clock.advance(AGE + 60)
    await scene.bus.client.jetstream().delete_stream(subjects.queue_stream(1))
    with pytest.raises(Unavailable):
        await scene.collector.collect()
    assert await scene.bodies() == {"m"}


async def test_the_owner_of_the_first_shard_collects(bus: NatsBus) -> None:
    settings = Settings().model_copy(update={"orphan_age": -3600.0, "collect_every": 0.05})
    scheduler = Scheduler(bus, settings, NOBODY)
    await MailStore(bus, SHARDS)._put_body("m", BIG)
    async with background(scheduler.own(1)):
        for _ in range(30):
            assert await bus.subjects(subjects.MAIL, ">")
    async with background(scheduler.own(0)), asyncio.timeout(20):
        while await bus.subjects(subjects.MAIL, ">"):  # noqa: ASYNC110 - a purge tells nobody
            await asyncio.sleep(0.01)
    assert scheduler.owners == {}


async def test_it_goes_on_after_the_bus_was_away(memory_bus: MemoryBus, clock: FakeClock) -> None:
    store = MailStore(memory_bus, SHARDS)
    await store._put_body("m", BIG)
    clock.advance(AGE + 60)
    memory_bus.away = True
    running = asyncio.create_task(Collector(memory_bus, SHARDS, clock, AGE).run(0.01))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    memory_bus.away = False
    async with asyncio.timeout(20):
        while await memory_bus.subjects(subjects.MAIL, ">"):  # noqa: ASYNC110 - a purge tells nobody
            await asyncio.sleep(0.01)
    running.cancel()
