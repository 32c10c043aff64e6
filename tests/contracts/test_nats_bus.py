"""What only a real server can show: kill -9, streams that vanish, a server that is away."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from prometheus_client import REGISTRY

from tests.conftest import PLAN
from tests.contracts.reading import PATIENCE, Reader, reading, rounds, until_caught_up
from tests.fakes import FakeClock
from tests.nats_server import NatsServer
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.mailstore import patiently
from tubepost.nats_bus import TIMEOUT, NatsBus
from tubepost.nats_requests import MOST_WAITING
from tubepost.ports import CaughtUp, Stored
from tubepost.provision import provision
from tubepost.relay_list import RelayList

QUEUE, EVERY = "QUEUE_0", "q.0.*.*"
JOB = "d.local.0.a.0"


async def restart(server: NatsServer, bus: NatsBus) -> None:
    """kill -9, start, and the streams are there again."""
    await killed(server, bus)
    server.start()
    await until(lambda: bus.connected)
    assert await provision(bus.client, PLAN)


async def killed(server: NatsServer, bus: NatsBus) -> None:
    """kill -9, and the bus has noticed: a call that is under way just then waits in vain."""
    server.kill()
    await until(lambda: not bus.connected)


async def until(condition: Callable[[], bool]) -> None:
    """Looks again and again: nats-py tells only its owner when the connection changes."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)


async def take_stored(items: Reader[Stored | CaughtUp], count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        item = await items.next()
        if isinstance(item, Stored):
            found.append(item.subject)
    return found


async def test_follow_goes_on_where_it_was_after_a_kill(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    await bus.append("q.0.a.0", b"1")
    async with reading(bus.follow(QUEUE, EVERY)) as items:
        await until_caught_up(items)
        await bus.append("q.0.b.0", b"2")
        assert await take_stored(items, 1) == ["q.0.b.0"]
        await restart(nats_server, bus)
        await patiently(lambda: bus.append("q.0.c.0", b"3"))
        assert await take_stored(items, 1) == ["q.0.c.0"]


@pytest.mark.usefixtures("short_calls")
async def test_follow_neither_loses_nor_repeats_while_the_server_is_killed_under_it(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    names = [f"q.0.m{n}.0" for n in range(90)]

    async def write_all() -> None:
        for name in names:
            await patiently(lambda n=name: bus.append(n, b"x", msg_id=n), None)  # type: ignore[misc]

    async with reading(bus.follow(QUEUE, EVERY)) as items, asyncio.timeout(4 * PATIENCE):
        writing = asyncio.create_task(write_all())
        seen: list[str] = []
        seen += await take_stored(items, 30)
        nats_server.kill()  # a write is under way
        nats_server.start()
        await writing
        seen += await take_stored(items, len(names) - len(seen))
        await rounds(bus)
        assert items.waiting == 0 or await items.next() == CaughtUp()
    assert seen == names


async def test_jobs_go_on_after_dispatch_was_lost_with_the_server(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    async with reading(bus.work("local", 2)) as jobs:
        await bus.append(JOB, b"1", expect=0)
        assert (await jobs.next()).data == b"1"
        await restart(nats_server, bus)
        bus.release("local")
        for n in (2, 3):
            await bus.append(f"d.local.0.m{n}.0", b"%d" % n, expect=0)
        assert sorted(job.data for job in await jobs.take(2)) == [b"2", b"3"]


async def test_jobs_go_on_after_dispatch_was_removed_under_them(bus: NatsBus) -> None:
    async with reading(bus.work("local", 2)) as jobs:
        await bus.append(JOB, b"1", expect=0)
        await (await jobs.next()).finish()
        bus.release("local")
        await bus.client.jetstream().delete_stream(subjects.DISPATCH)
        assert await provision(bus.client, PLAN)
        await bus.append(JOB, b"2", expect=0)
        assert (await jobs.next()).data == b"2"


async def test_slots_stay_respected_after_dispatch_was_lost(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    """Deliveries that ran when the server died still run, and still hold their slots."""
    async with reading(bus.work("local", 2)) as jobs:
        await bus.append(JOB, b"1", expect=0)
        await jobs.next()
        await restart(nats_server, bus)
        for n in (2, 3):
            await bus.append(f"d.local.0.m{n}.0", b"%d" % n, expect=0)
        await jobs.next()
        await rounds(bus)
        assert jobs.waiting == 0
        bus.release("local")
        assert (await jobs.next()).data == b"3"


async def test_a_job_that_was_not_finished_comes_again_and_says_so(bus: NatsBus) -> None:
    soon = ConsumerConfig(
        durable_name="local",
        filter_subject="d.local.>",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=0.5,
        max_ack_pending=20_000,
        max_deliver=-1,
    )
    await bus.client.jetstream().add_consumer(subjects.DISPATCH, soon)
    await bus.append(JOB, b"1", expect=0)
    async with reading(bus.work("local", 2)) as jobs:
        first, again = await jobs.take(2)
        assert (first.redelivered, again.redelivered) == (False, True)
        assert (again.subject, again.data) == (first.subject, first.data)


async def test_memory_streams_are_lost_with_the_server_and_the_queue_is_not(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    await bus.append("q.0.a.0", b"mail", headers={"Tubepost": "x"})
    await bus.append("mail.a.0", b"body")
    await bus.append("$KV.directory.domain.a", b"{}")
    await bus.append(JOB, b"1", expect=0)
    await restart(nats_server, bus)
    for stream, subject, data in (
        ("QUEUE_0", "q.0.a.0", b"mail"),
        ("MAIL", "mail.a.0", b"body"),
        ("KV_directory", "$KV.directory.domain.a", b"{}"),
    ):
        found = await bus.read(stream, subject, leader=True)
        assert found is not None
        assert found.data == data
    assert await bus.read("DISPATCH", JOB, leader=True) is None


@pytest.mark.parametrize("end", ["purge", "replace"])
async def test_what_was_ended_stays_ended_after_a_kill(
    bus: NatsBus, nats_server: NatsServer, end: str
) -> None:
    """jetstream.md fact 3: in a bucket an older value may come back; in the queue it must not."""
    for n in range(20):
        subject = f"q.0.m{n}.0"
        first = await bus.append(subject, b"old")
        last = await bus.append(subject, b"new", expect=first, replace=True)
        if end == "purge":
            await bus.purge(QUEUE, subject, through=last)
    await restart(nats_server, bus)
    async with reading(bus.follow(QUEUE, EVERY)) as items:
        found = {stored.data for stored in await until_caught_up(items)}
    assert found == (set() if end == "purge" else {b"new"})


async def test_while_the_server_is_away_every_call_ends_as_unavailable(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    await killed(nats_server, bus)
    calls = [
        bus.append("q.0.a.0", b"x", msg_id="a"),
        bus.read(QUEUE, "q.0.a.0"),
        bus.read(QUEUE, "q.0.a.0", leader=True),
        bus.purge(QUEUE, "q.0.a.0"),
        bus.ask("auth.check", b"", seconds=PATIENCE),
        RelayList(bus, FakeClock()).lookup("192.0.2.1"),
        bus.subjects(QUEUE, EVERY),
        provision(bus.client, PLAN),
    ]
    async with asyncio.timeout(TIMEOUT + PATIENCE):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * len(calls)
    nats_server.start()
    seq = await patiently(lambda: bus.append("q.0.a.0", b"x", msg_id="a"))
    assert await patiently(lambda: bus.append("q.0.a.0", b"x", msg_id="a")) == seq == 1


async def test_connect_waits_for_a_server_that_comes_later(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    nats_server.kill()
    connecting = asyncio.create_task(nats_server.connect())
    nats_server.start()
    late = await connecting
    assert late.connected
    await late.close()
    assert not late.connected


async def test_provision_tells_that_dispatch_was_there_already(bus: NatsBus) -> None:
    assert not await provision(bus.client, PLAN)


async def test_provision_leaves_what_is_there(bus: NatsBus) -> None:
    await bus.append("q.0.a.0", b"stays")
    await bus.append(JOB, b"stays", expect=0)
    await provision(bus.client, PLAN)
    await provision(bus.client, dataclasses.replace(PLAN, relay_window=60.0))
    assert await bus.read(QUEUE, "q.0.a.0", leader=True) is not None
    assert await bus.read("DISPATCH", JOB, leader=True) is not None


async def test_an_orderly_end_does_not_count_as_a_lost_bus(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    other = await nats_server.connect()
    before = REGISTRY.get_sample_value("tubepost_bus_lost_total")
    await other.close()
    assert REGISTRY.get_sample_value("tubepost_bus_lost_total") == before


async def test_a_lost_connection_is_counted_once(bus: NatsBus, nats_server: NatsServer) -> None:
    before = REGISTRY.get_sample_value("tubepost_bus_lost_total")
    await restart(nats_server, bus)
    assert before is not None
    assert REGISTRY.get_sample_value("tubepost_bus_lost_total") == before + 1


async def test_store_usage_is_a_share_or_none_where_there_is_no_limit(bus: NatsBus) -> None:
    usage = await bus.store_usage()
    assert usage is None or 0 <= usage <= 1


async def test_subjects_come_complete_where_they_fill_several_pages(bus: NatsBus) -> None:
    """The server gives 100,000 at a time, in answers far above the limit of a message."""
    config = StreamConfig(name="MANY", subjects=["many.*"], storage=StorageType.MEMORY)
    await bus.client.jetstream().add_stream(config)
    names = [f"many.{n:06d}" for n in range(100_010)]
    for name in names:
        await bus.tell(name)
    await bus.client.flush()
    async with asyncio.timeout(PATIENCE):
        while await bus.read("MANY", names[-1], leader=True) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # stored without an acknowledgement
    assert await bus.subjects("MANY", "many.*") == names
    assert await bus.subjects("MANY", "many.none") == []


async def test_a_slow_answer_holds_up_no_other_question(bus: NatsBus) -> None:
    """Else popauth checks one password of SMTP at a time, whatever TUBEPOST_HASH_THREADS says."""
    second = asyncio.Event()

    async def answer(_subject: str, data: bytes) -> bytes:
        if data == b"first":
            await second.wait()
        second.set()
        return data

    await bus.answer("auth.check", answer, group="popauth", at_once=2)
    asked = [bus.ask("auth.check", question, seconds=0.5) for question in (b"first", b"second")]
    assert await asyncio.gather(*asked) == [b"first", b"second"]


async def test_a_server_that_hangs_holds_nobody_and_fills_no_memory(tmp_path: Path) -> None:
    """nats-py keeps what a stopped server does not read, and waits for it: both have an end."""
    server = NatsServer.plain(tmp_path)
    server.start()
    bus = await server.connect()
    await provision(bus.client, PLAN)
    piece = b"x" * 700_000
    os.kill(server.pid, signal.SIGSTOP)
    try:
        calls = [bus.append(f"mail.m{n}.0", piece) for n in range(60)]
        async with asyncio.timeout(TIMEOUT + PATIENCE):
            results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert bus.client.pending_data_size < MOST_WAITING + 2 * len(piece)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert await patiently(lambda: bus.append("q.0.a.0", b"again")) > 0
    await bus.close()
    server.stop()


async def test_who_is_ended_while_it_begins_to_answer_leaves_a_bus_that_hears(bus: NatsBus) -> None:
    """The server's word comes after nobody waits for it any more."""

    async def answer(_subject: str, _data: bytes) -> bytes:
        return b"here"

    beginning = asyncio.create_task(bus.answer(subjects.AUTH_HERE, answer))
    while not bus.client._pongs:  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    assert beginning.cancelled()
    assert await bus.ask(subjects.AUTH_HERE, b"", seconds=TIMEOUT) == b"here"
