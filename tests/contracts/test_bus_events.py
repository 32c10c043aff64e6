"""What telling and reading events need of a bus, on both adapters; and who may tell."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.conftest import PLAN
from tests.contracts.guarded import Connect
from tests.contracts.reading import reading, rounds, subjects_of, until_caught_up
from tests.fakes import FakeClock
from tests.nats_server import NatsServer, remove_streams
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.events import Events, decoded
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus, CaughtUp
from tubepost.provision import provision
from tubepost.tasks import background

MAIL = "0" * 20 + "abc"
STREAM = subjects.EVENTS


async def test_what_is_told_on_a_subject_of_a_stream_is_stored(any_bus: Bus) -> None:
    await any_bus.tell("event.mail.abc", b"1")
    await any_bus.tell("event.queue", b"2")
    await any_bus.tell("w.done.0", b"0.m.0 1")
    await rounds(any_bus, 1)
    async with reading(any_bus.follow(STREAM, subjects.EVENT_ANY)) as items:
        stored = await until_caught_up(items)
    assert [(s.subject, s.seq, s.data) for s in stored] == [
        ("event.mail.abc", 1, b"1"),
        ("event.queue", 2, b"2"),
    ]


async def test_what_is_told_later_reaches_whoever_follows(any_bus: Bus) -> None:
    async with reading(any_bus.follow(STREAM, subjects.EVENT_MAIL_ANY)) as items:
        assert await items.next() == CaughtUp()
        await any_bus.tell("event.queue", b"not this")
        await any_bus.tell("event.mail.abc", b"this")
        assert subjects_of([await items.next()]) == ["event.mail.abc"]


async def test_a_bus_knows_that_it_is_connected(any_bus: Bus) -> None:
    assert any_bus.connected


async def test_the_position_of_an_empty_stream_is_its_beginning(any_bus: Bus) -> None:
    assert await any_bus.position(STREAM) == 0
    assert await any_bus.position(STREAM, since=1.0) == 0


async def test_the_position_is_the_last_sequence(any_bus: Bus) -> None:
    for _ in range(3):
        seq = await any_bus.append("event.queue", b"x")
    assert await any_bus.position(STREAM) == seq == 3
    await any_bus.purge(STREAM, "event.queue")
    assert await any_bus.position(STREAM) == 3


async def test_the_position_of_an_instant_is_before_what_came_since(any_bus: Bus) -> None:
    await any_bus.append("event.queue", b"x")
    assert await any_bus.position(STREAM, since=1.0) == 0
    assert await any_bus.position(STREAM, since=4e9) == 1


async def test_the_position_of_an_instant_between(bus: NatsBus) -> None:
    await bus.append("event.queue", b"before")
    between = time.time()
    while await bus.position(STREAM, since=between) < 1:  # until the clock has moved on
        between = time.time()
    await bus.append("event.queue", b"after")
    assert await bus.position(STREAM, since=between) == 1


async def test_the_position_in_memory_of_an_instant_between(
    clock: FakeClock, memory_bus: Bus
) -> None:
    await memory_bus.append("event.queue", b"before")
    clock.advance(1)
    await memory_bus.append("event.queue", b"after")
    assert await memory_bus.position(STREAM, since=clock()) == 1


async def test_the_position_of_no_stream_is_unavailable(any_bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await any_bus.position("QUEUE_999")
    with pytest.raises(Unavailable):
        await any_bus.position("QUEUE_999", since=1.0)


async def test_events_are_refused_silently_where_the_store_is_full(memory_bus: Bus) -> None:
    memory_bus.full = True  # type: ignore[attr-defined]
    await memory_bus.tell("event.queue", b"x")
    assert await memory_bus.position(STREAM) == 0


async def test_a_bus_without_a_server_knows_it(bus: NatsBus, nats_server: NatsServer) -> None:
    nats_server.kill()
    while bus.connected:
        with pytest.raises(Unavailable):
            await bus.read(subjects.MAIL, "mail.none.0", leader=True)
    assert not bus.connected


async def test_events_survive_a_stop_of_the_server(bus: NatsBus, nats_server: NatsServer) -> None:
    await bus.tell("event.mail.abc", b"kept")
    await rounds(bus, 1)
    back = asyncio.create_task(bus.reconnected())
    nats_server.stop()
    nats_server.start()
    await back  # a question that went to the old server would wait for its answer
    async with reading(bus.follow(STREAM, subjects.EVENT_ANY)) as items:
        assert [s.data for s in await until_caught_up(items)] == [b"kept"]


@pytest.mark.parametrize("service", ["smtpd", "scheduler", "remote", "local"])
async def test_these_may_tell(connect: Connect, complaints: list[str], service: str) -> None:
    scheduler, teller = await connect("scheduler"), await connect(service)
    events = Events(teller, service, "1", FakeClock())
    async with reading(scheduler.follow(STREAM, subjects.EVENT_ANY)) as items:
        assert await items.next() == CaughtUp()
        async with background(events.run()):
            events.emit("accepted", MAIL, size=1)
            stored = await items.next()
    assert not isinstance(stored, CaughtUp)
    assert stored.subject == "event.mail.abc"
    assert decoded(stored.data)["by"] == f"{service}/1"
    assert complaints == []


async def test_without_room_for_events_everything_else_is_made(
    nats_server: NatsServer, complaints: list[str]
) -> None:
    bus = await nats_server.connect()
    try:
        assert await provision(bus.client, replace(PLAN, events_bytes=1 << 40))
        await bus.append("q.0.m.0", b"mail goes on")
        await bus.tell("event.queue", b"heard by nobody")
        with pytest.raises(Unavailable):
            await bus.position(STREAM)
    finally:
        await remove_streams(bus.client)
        await bus.close()
    assert ["EVENTS" in complaint for complaint in complaints] == [True]
