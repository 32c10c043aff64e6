"""Changing the number of shards on a real bus: nothing lost, nothing twice, killed at any write."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ctl import reshard as module
from ctl.reshard import Reshard, place
from services.scheduler.settle import Settler
from tests.fakes import FakeClock
from tests.nats_server import NatsServer
from tubepost import lifecycle, provision, subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import BadInput
from tubepost.mailstore import MailStore, held
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.ports import CaughtUp, Stored
from tubepost.provision import Plan
from tubepost.record import HEADER, INLINE_LIMIT, Envelope, Record, State
from tubepost.retry import Rules
from tubepost.routing import route
from tubepost.shard_count import Count, WrongCount
from tubepost.subjects import Key

BODY = b"Subject: hello\r\n\r\nHi.\r\n"
OURS = {"here.example"}
Content = dict[tuple[str, str], tuple[Record | None, bytes]]
"""(mail id, unit) -> the record without its group, and the payload."""


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches a kill -9."""


class Mortal(NatsBus):
    """Dies just before, or just after, its n-th write."""

    writes_left = 10**9
    after = False

    async def _die_or_write(self) -> None:
        self.writes_left -= 1
        if self.writes_left <= 0:  # nor does it write afterwards
            raise Killed

    async def append(self, subject: str, data: bytes = b"", **more: Any) -> int:
        if not self.after:
            await self._die_or_write()
        done = await super().append(subject, data, **more)
        if self.after:
            await self._die_or_write()
        return done

    async def purge(self, stream: str, subject: str, *, through: int | None = None) -> None:
        if not self.after:
            await self._die_or_write()
        await super().purge(stream, subject, through=through)
        if self.after:
            await self._die_or_write()


class Queue:
    """A queue with a mail of every form, in whatever number of shards it has now."""

    def __init__(self, bus: NatsBus, server: NatsServer, clock: FakeClock) -> None:
        self.bus, self._server, self._clock = bus, server, clock
        self.store = MailStore(bus, 2)

    async def fill(self) -> None:
        settler = Settler(
            self.store, 2, Control(self.bus, "mail.example"), Directory(self.bus), self._clock
        )
        for n in range(6):
            await self.accept(f"local{n}", "joe@here.example")
            await self.accept(f"remote{n}", f"ann@far{n}.example")
            await self.accept(f"group{n}", "joe@here.example", f"ann@far{n}.example", "x@y.example")
            key = Key(await self.shard_of(f"group{n}"), f"group{n}", subjects.SPLIT_UNIT)
            await settler.settle(key)
        await self.accept("big", "ann@far.example", body=BODY + b"x" * INLINE_LIMIT * 4)
        await self.accept("split", "joe@here.example", "ann@far.example", "x@y.example")
        deferred = await self.accept("deferred", "ann@far.example")
        await self.attempt(deferred, Deferred(text="451 later"))
        failed = await self.accept("failed", "ann@far.example")
        await self.attempt(failed, Failed(text="550 no", status="5.1.1"))
        await self.park(await self.accept("parked", "ann@far.example"))
        unit = next(k for k in await self.keys() if k.mail_id == "group0" and k.unit == "0")
        await self.park(unit)
        await self.bus.append("q.1.odd.0", b"odd", headers={HEADER: "from another age"})

    async def accept(self, mail_id: str, *to: str, body: bytes = BODY) -> Key:
        routes = [route(address, OURS) for address in to]
        envelope = Envelope("joe@here.example", to)
        now = self._clock()
        return await self.store.accept(envelope, routes, body, mail_id=mail_id, now=now)

    async def shard_of(self, mail_id: str) -> int:
        return next(key.shard for key in await self.keys() if key.mail_id == mail_id)

    async def attempt(self, key: Key, outcome: Outcome) -> None:
        found = await self.store.read(key)
        assert found
        outcomes, now = dict.fromkeys(found.record.waiting, outcome), self._clock()

        def change(record: Record) -> Record:
            return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

        await self.store.settle(found, change)

    async def park(self, key: Key) -> None:
        found = await self.store.read(key)
        assert found
        await self.store.settle(found, lambda record: lifecycle.parked(record, "why"))

    async def shards(self) -> list[int]:
        return await provision.queue_shards(self.bus.client)

    async def keys(self) -> list[Key]:
        """Of every record; a key stands twice where two messages are on its subject."""
        return [subjects.key_of(stored.subject) for stored in await self.everything()]

    async def everything(self) -> list[Stored]:
        found: list[Stored] = []
        for shard in await self.shards():
            stream = subjects.queue_stream(shard)
            async for item in self.bus.follow(stream, subjects.queue_subjects(shard)):
                if isinstance(item, CaughtUp):
                    break
                found.append(item)
        return found

    async def content(self) -> Content:
        found: Content = {}
        for stored in await self.everything():
            key = subjects.key_of(stored.subject)
            assert (key.mail_id, key.unit) not in found, f"{key} is there twice"
            record = None if key.mail_id == "odd" else replace(held(stored).record, group=None)
            found[key.mail_id, key.unit] = (record, stored.data)
        return found

    async def reshard(self, shards: int, *, dies_at: int = 0, after: bool = False) -> int:
        """In a process of its own, so to speak; how many writes it made, or raises Killed."""
        bus = await Mortal.connect([self._server.url], name="reshard")
        assert isinstance(bus, Mortal)
        bus.writes_left, bus.after = dies_at or 10**9, after
        try:
            await Reshard(bus, shards, print).run()
        finally:
            await bus.close()
        return 10**9 - bus.writes_left

    async def check(self, shards: int, content: Content) -> None:
        """It is a queue of so many shards with this content, all of it in place."""
        assert await self.shards() == list(range(shards))
        assert await self.content() == content
        homes = {k.mail_id: k.shard for k in await self.keys() if k.unit == subjects.SPLIT_UNIT}
        for stored in await self.everything():
            key = subjects.key_of(stored.subject)
            if key.mail_id == "odd":
                continue
            record = held(stored).record
            where = subjects.shard_of(record.channel, record.destination, key.mail_id, shards)
            assert key.shard == where
            assert record.group in (None, homes.get(key.mail_id))
        await provision.provision(self.bus.client, Plan(shards, 1, 10_800))


@pytest.fixture(autouse=True)
def _nobody_is_there_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_WITHIN", 0.001)


@pytest.fixture
async def queue(bus: NatsBus, nats_server: NatsServer, clock: FakeClock) -> Queue:
    queue = Queue(bus, nats_server, clock)
    await queue.fill()
    return queue


async def test_every_record_moves_to_its_place(queue: Queue) -> None:
    content = await queue.content()
    assert {record.state for record, _ in content.values() if record} == {
        State.PENDING, State.BOUNCE, State.SPLIT, State.GROUP, State.PARKED,
    }  # fmt: skip
    chunks = await queue.bus.subjects(subjects.MAIL, ">")
    for shards in (5, 1, 3, 3, 2):
        await queue.reshard(shards)
        await queue.check(shards, content)
    assert await queue.bus.subjects(subjects.MAIL, ">") == chunks


async def test_times_and_attempts_go_along(queue: Queue) -> None:
    await queue.reshard(5)
    key = next(key for key in await queue.keys() if key.mail_id == "deferred")
    found = await MailStore(queue.bus, 5).read(key)
    assert found
    assert (found.record.attempts, found.record.recipients[0].reply) == (1, "451 later")


async def test_a_group_still_ends_after_its_units(queue: Queue, clock: FakeClock) -> None:
    await queue.reshard(5)
    store = MailStore(queue.bus, 5)
    settler = Settler(store, 5, Control(queue.bus, "x"), Directory(queue.bus), clock)
    keys = [key for key in await queue.keys() if key.mail_id == "group3"]
    for key in sorted(keys, key=lambda k: k.unit):  # "S" comes last
        found = await store.read(key)
        assert found
        if key.unit == subjects.SPLIT_UNIT:
            await settler.settle(key)
        else:
            assert await settler.may_go_out(found)
            await store.forget(found)
    assert not any(key.mail_id == "group3" for key in await queue.keys())
    assert await queue.bus.subjects(subjects.MAIL, subjects.body("group3")) == []


SOME = (1, 2, 5, 16, 27)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("first", "then"), [((5,), 5), ((5, 1), 1), ((1,), 1), ((5,), 3)])
async def test_killed_at_a_write_and_run_again_it_ends_the_same(
    queue: Queue, first: Sequence[int], then: int, after: bool
) -> None:
    content = await queue.content()
    for dies_at in SOME:
        *done, killed = first
        for shards in done:
            await queue.reshard(shards)
        with pytest.raises(Killed):
            await queue.reshard(killed, dies_at=dies_at, after=after)
        await queue.reshard(then)
        await queue.check(then, content)
        await queue.reshard(2)


async def test_killed_at_its_last_writes(queue: Queue) -> None:
    content = await queue.content()
    writes = await queue.reshard(5)
    for dies_at in (writes - 1, writes):
        await queue.reshard(2)
        with pytest.raises(Killed):
            await queue.reshard(5, dies_at=dies_at)
        await queue.reshard(5)
        await queue.check(5, content)


async def test_until_it_has_ended_nothing_starts(queue: Queue) -> None:
    with pytest.raises(Killed):
        await queue.reshard(5, dies_at=7)
    for shards in (2, 5):
        with pytest.raises(WrongCount, match=r"run: tubepost reshard 5$"):
            await provision.provision(queue.bus.client, Plan(shards, 1, 10_800))


async def test_a_shard_that_goes_takes_nothing_any_more(queue: Queue) -> None:
    """A process that was not stopped must not put a mail where it would be deleted."""
    with pytest.raises(Killed):
        await queue.reshard(1, dies_at=2)
    with pytest.raises(Exception, match="exceed"):
        await queue.bus.append("q.1.late.0", b"x", headers={HEADER: "{}"})
    await queue.reshard(2)
    await queue.bus.append("q.1.late.0", b"x", headers={HEADER: "{}"})


async def test_another_number_of_shards_does_not_start(queue: Queue) -> None:
    why = "^the queue has 2 shards, not 5; start with 2, or run: tubepost reshard 5$"
    with pytest.raises(WrongCount, match=why):
        await provision.provision(queue.bus.client, Plan(5, 1, 10_800))
    assert await queue.shards() == [0, 1]


async def test_where_the_number_was_never_stored_the_streams_tell(queue: Queue) -> None:
    key = subjects.bucket_key(subjects.CONTROL, subjects.SHARD_COUNT)
    await queue.bus.purge("KV_control", key)
    with pytest.raises(WrongCount):
        await provision.provision(queue.bus.client, Plan(1, 1, 10_800))
    await provision.provision(queue.bus.client, Plan(2, 1, 10_800))
    found = await queue.bus.read("KV_control", key, leader=True)
    assert found
    assert found.data == Count(2).encode()


async def test_of_two_records_of_one_unit_the_one_tried_more_often_stays(queue: Queue) -> None:
    """As two runs with different numbers, long ago and without this command, may have left."""
    old = next(key for key in await queue.keys() if key.mail_id == "deferred")
    further = await queue.store.read(old)
    assert further
    stored = await queue.bus.read(subjects.queue_stream(old.shard), old.record, leader=True)
    assert stored
    wire = {**json.loads(stored.headers[HEADER]), "a": 0}
    await queue.bus.append(
        replace(old, shard=1 - old.shard).record, BODY, headers={HEADER: json.dumps(wire)}
    )
    await queue.reshard(1)
    [key] = [key for key in await queue.keys() if key.mail_id == "deferred"]
    found = await queue.store.read(key)
    assert found
    assert found.record == further.record


async def test_it_is_refused_while_somebody_works(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWERS_WITHIN", 0.1)

    async def here(_subject: str, _data: bytes) -> bytes:
        return b"[]"

    for question, who in (
        (subjects.MEMBERS, "a scheduler is running; stop"),
        (subjects.INFLIGHT_ANY, "remote or local is running; stop"),
    ):
        worker = await queue._server.connect()
        await worker.answer(question, here)
        with pytest.raises(BadInput, match=who):
            await queue.reshard(5)
        await worker.close()
    await queue.bus.append(subjects.lease(1), b"somebody", ttl=30)
    with pytest.raises(BadInput, match="wait 10 s"):
        await queue.reshard(5)
    assert await queue.shards() == [0, 1]


async def test_without_a_queue_it_is_refused(nats_server: NatsServer) -> None:
    nats_server.start()
    bus = await nats_server.connect()
    with pytest.raises(BadInput, match="there is no queue yet; start Tubepost with 5 shards"):
        await Reshard(bus, 5, print).run()
    await bus.close()


async def test_jobs_for_old_places_are_forgotten(queue: Queue) -> None:
    await queue.bus.append("d.local.1.local0.0", b"1", expect=0)
    await queue.reshard(1)
    assert await queue.bus.subjects(subjects.DISPATCH, ">") == []


def test_what_a_newer_release_wrote_in_a_header_stays() -> None:
    header = {"v": 1, "st": "pending", "ch": "remote", "d": "a.example", "s": "", "r": [], "sz": 1,
              "c": 1.0, "n": 1.0, "g": 7, "new": [1]}  # fmt: skip
    stored = Stored("q.0.m.1", 5, {HEADER: json.dumps(header), "Nats-Msg-Id": "x", "Other": "y"})
    found = place(stored, 1)
    assert found.key == Key(0, "m", "1")
    assert set(found.headers) == {HEADER, "Other"}
    assert json.loads(found.headers[HEADER]) == {**header, "g": 0}


async def test_ten_thousand_are_said(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    reshard = Reshard(queue.bus, 5, said.append)
    reshard._moved = 9_990
    await asyncio.wait_for(reshard.run(), 30)
    assert said == ["10000 records moved"]
