"""The owner of a shard on the real bus: jobs go out when due, and again when they are lost."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

import pytest

from services.scheduler import owner as module
from services.scheduler import reading
from services.scheduler.expiry import Expired
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits, Shard
from tests.fakes import FakeClock
from tubepost import control_values, lifecycle, subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import Conflict
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Job
from tubepost.record import Envelope, Held, Note, Record, State
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.subjects import LOCAL, REMOTE, Key
from tubepost.tasks import background

WIDE = Limits({LOCAL: 100, REMOTE: 100})
SHARDS = 1
NEVER = 10.0**9
"""Seconds: beyond the time of any message."""
NOBODY = Deferred(text="no connection", status="4.4.1", no_connection=True)


class Scene:
    """One owner of one shard, a worker's eyes, a clock that stands still."""

    def __init__(self, bus: NatsBus, clock: FakeClock) -> None:
        self.bus, self.clock, self.store = bus, clock, MailStore(bus, SHARDS)
        directory, self.control = Directory(bus), Control(bus, "mail.example.org")
        settler = Settler(self.store, SHARDS, self.control, directory, clock)
        self.owner = Owner(bus, 0, settler, clock=clock, limits=lambda: WIDE, wanted=lambda: None)
        self.jobs = bus.work(REMOTE, 50)

    async def accept(self, mail_id: str, *to: str) -> Key:
        to = to or ("ann@far.example",)
        routes = [Route(REMOTE, address.partition("@")[2]) for address in to]
        envelope, now = Envelope("joe@example.org", to), self.clock()
        return await self.store.accept(envelope, routes, b"x\r\n", mail_id=mail_id, now=now)

    async def next_job(self) -> Job:
        async with asyncio.timeout(20):
            return await anext(self.jobs)

    async def attempt(self, key: Key, outcome: Outcome) -> None:
        held = await self.store.read(key)
        assert held
        outcomes, now = dict.fromkeys(held.record.waiting, outcome), self.clock()

        def change(record: Record) -> Record:
            return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

        await self.store.settle(held, change)


@pytest.fixture
async def scene(
    bus: NatsBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    monkeypatch.setattr(module, "ASK_WORKERS", 0.1)
    scene = Scene(bus, clock)

    async def hint(_subject: str, data: bytes) -> None:
        key, seq = subjects.parse_hint(data)
        scene.owner.gone(key, seq)
        scene.owner.unit_ended(key)

    await bus.answer(subjects.DONE_HINT_ANY, hint)
    async with background(scene.owner.run()):
        yield scene


async def happens(scene: Scene, what: Callable[[Shard], object]) -> None:
    """Returns when the owner's view of the shard is so; for what sends no event."""
    async with asyncio.timeout(20):
        while not what(scene.owner.shard):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


async def test_a_new_mail_goes_out_at_once(scene: Scene) -> None:
    key = await scene.accept("m1")
    job = await scene.next_job()
    assert (job.subject, int(job.data)) == (key.job(REMOTE), 1)


async def test_a_delivered_mail_leaves_the_owner_s_memory(scene: Scene) -> None:
    key = await scene.accept("m1")
    job = await scene.next_job()
    await scene.attempt(key, Delivered(text="ok"))
    await job.finish()
    await happens(scene, lambda shard: not shard.units)
    assert scene.owner.shard.used(REMOTE) == 0


async def test_a_deferred_mail_goes_out_again_when_its_time_has_come(scene: Scene) -> None:
    key = await scene.accept("m1")
    job = await scene.next_job()
    await scene.attempt(key, Deferred(text="451 later"))
    await job.finish()
    await happens(scene, lambda shard: not shard.out)
    assert scene.owner.shard.next_due() == scene.clock() + 400
    await scene.accept("m2", "bob@other.example")
    assert (await scene.next_job()).subject == "d.remote.0.m2.0", "m1 is not due yet"
    scene.clock.advance(400)
    scene.owner.wake()
    again = await scene.next_job()
    assert again.subject == key.job(REMOTE)
    await scene.attempt(key, Delivered(text="ok"))
    await again.finish()
    await happens(scene, lambda shard: [k.mail_id for k in shard.units] == ["m2"])


async def test_places_that_come_free_are_filled_before_the_round_ends(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUND", NEVER)
    for number in range(30):
        await scene.accept(f"m{number}")
    for _ in range(30):
        job = await scene.next_job()
        await scene.attempt(subjects.key_of(job.subject), Delivered(text="ok"))
        await job.finish()
    await happens(scene, lambda shard: not shard.units)


async def test_jobs_that_were_lost_go_out_again(scene: Scene) -> None:
    key = await scene.accept("m1")
    await scene.next_job()
    await scene.bus.purge(subjects.DISPATCH, ">")  # as after a restart of the server
    await scene.owner.jobs_lost()
    assert (await scene.next_job()).subject == key.job(REMOTE)


async def test_but_not_those_a_worker_still_holds(scene: Scene) -> None:
    await scene.accept("m1")
    await scene.accept("m2")
    assert {(await scene.next_job()).subject, (await scene.next_job()).subject}

    async def holding(_subject: str, _data: bytes) -> bytes:
        return json.dumps([["m1", "0"]]).encode()

    await scene.bus.answer(subjects.INFLIGHT_ANY, holding)
    await scene.bus.purge(subjects.DISPATCH, ">")
    await scene.owner.jobs_lost()
    assert (await scene.next_job()).subject == "d.remote.0.m2.0"
    await scene.accept("m3")
    assert (await scene.next_job()).subject == "d.remote.0.m3.0"


async def test_a_job_that_is_out_for_long_is_checked(
    bus: NatsBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_WORKERS", 0.1)
    monkeypatch.setattr(module, "CHECK_OUT", 0.05)
    scene = Scene(bus, clock)
    async with background(scene.owner.run()):
        key = await scene.accept("m1")
        first = await scene.next_job()
        await first.finish()  # the worker finished the job and nothing else: lost
        clock.advance(module.LOST_AFTER + 1)
        assert (await scene.next_job()).subject == key.job(REMOTE)


async def test_an_owner_that_begins_anew_takes_the_queue_over(
    scene: Scene, clock: FakeClock
) -> None:
    for name in ("m1", "m2"):
        await scene.accept(name)
        await scene.next_job()
    await scene.attempt(Key(0, "m1", "0"), Deferred(text="451 later"))
    second = Scene(scene.bus, clock)
    async with background(second.owner.run()):
        await happens(second, lambda shard: len(shard.units) == 2 and shard.out)
        assert second.owner.loaded
        assert [key.mail_id for key in second.owner.shard.out] == ["m2"]
        assert second.owner.shard.next_due() == clock() + 400


async def test_new_mail_goes_out_while_the_old_is_still_being_read(
    scene: Scene, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RECENT", -NEVER)
    await scene.accept("m1")
    await (await scene.next_job()).finish()
    second = Scene(scene.bus, clock)
    loading = asyncio.Event()

    async def never(_recent: int) -> None:
        loading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(second.owner._reading, "_load", never)
    async with background(second.owner.run()):
        await loading.wait()
        key = await scene.accept("m2", "bob@other.example")
        await happens(second, lambda shard: key in shard.out)
        assert not second.owner.loaded
        assert [k.mail_id for k in second.owner.shard.units] == ["m2"]


async def test_what_came_while_nobody_owned_the_shard_does_not_wait_for_the_old(
    scene: Scene, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(time.time() - clock())
    key = await scene.accept("m1")
    second = Scene(scene.bus, clock)

    async def never(_recent: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(second.owner._reading, "_load", never)
    async with background(second.owner.run()):
        await happens(second, lambda shard: key in shard.out)
        assert not second.owner.loaded


async def test_what_a_worker_holds_is_out_for_an_owner_that_reads_its_record_later(
    scene: Scene, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RECENT", -NEVER)
    key = await scene.accept("m1")
    await scene.next_job()

    async def holds(_subject: str, _data: bytes) -> bytes:
        return json.dumps([["m1", "0"]]).encode()

    await scene.bus.answer(subjects.INFLIGHT_ANY, holds)
    second = Scene(scene.bus, clock)
    asked = asyncio.Event()
    load = second.owner._reading._load

    async def later(recent: int) -> None:
        await asked.wait()
        await load(recent)

    second.owner._reading._load = later  # type: ignore[method-assign]
    async with background(second.owner.run()):
        await happens(second, lambda _: second.owner._held_at_first == {key})
        asked.set()
        await happens(second, lambda shard: key in shard.out)
        assert second.owner._held_at_first == set()


async def test_a_mail_for_two_destinations_goes_its_whole_way(scene: Scene) -> None:
    await scene.accept("m1", "ann@far.example", "bob@other.example")
    for _ in range(2):
        job = await scene.next_job()
        await scene.attempt(subjects.key_of(job.subject), Delivered(text="ok"))
        await job.finish()
    group = Key(0, "m1", subjects.SPLIT_UNIT)
    async with asyncio.timeout(20):
        while await scene.store.read(group):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    await happens(scene, lambda shard: not shard.units)
    assert await scene.bus.read(subjects.MAIL, subjects.body_chunk("m1", 0), leader=True) is None


async def test_an_unreadable_record_stops_nothing_and_is_seen(scene: Scene) -> None:
    bad = Key(0, "bad", "0")
    seq = await scene.bus.append(bad.record, b"?", headers={"Tubepost": "not json"})
    key = await scene.accept("m1")
    assert (await scene.next_job()).subject == key.job(REMOTE)
    assert "not a queue record" in scene.owner.unreadable[bad]
    await scene.bus.purge(subjects.queue_stream(0), bad.record)
    scene.owner.gone(bad, seq)
    assert scene.owner.unreadable == {}


async def test_a_record_that_ended_without_a_hint_is_forgotten(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await scene.accept("m1")
    await scene.next_job()
    monkeypatch.setattr(scene.owner._settler, "_report", _does_nothing)
    await scene.attempt(key, Failed(text="550 no"))
    await happens(scene, lambda shard: shard.units[key].record.state is State.BOUNCE)
    await scene.bus.purge(subjects.queue_stream(0), key.record)
    scene.clock.advance(module.LOST_AFTER + 1)
    await scene.owner.look_for_lost()
    await happens(scene, lambda _: key in scene.owner._missed)
    scene.clock.advance(module.LEADER_BEHIND)
    await happens(scene, lambda shard: not shard.units)


async def test_an_owner_s_memory_is_put_right(scene: Scene) -> None:
    stays, goes = await scene.accept("m1"), await scene.accept("m2")
    await happens(scene, lambda shard: len(shard.out) == 2)
    bad = await scene.bus.append("q.0.bad.0", b"?", headers={"Tubepost": "not json"})
    await happens(scene, lambda _: scene.owner.unreadable)
    await scene.owner.reconcile()
    assert set(scene.owner.shard.units) == {stays, goes}
    scene.owner.gone(stays, bad)  # as a mistaken hint would have it
    await scene.bus.purge(subjects.queue_stream(0), goes.record)
    await scene.bus.purge(subjects.queue_stream(0), "q.0.bad.0")
    await scene.owner.reconcile()
    assert set(scene.owner.shard.units) == {stays}
    assert scene.owner.unreadable == {}


async def _does_nothing(_held: Held) -> None:
    pass


async def test_a_record_that_cannot_be_settled_is_parked_with_the_reason(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_OUT", 0.01)

    async def fails(_held: Held) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(scene.owner._settler._reporter, "tell", fails)
    key = await scene.accept("m1")
    await scene.next_job()
    await scene.attempt(key, Failed(text="550 no"))
    await happens(scene, lambda shard: shard.units[key].record.state is State.PARKED)
    other = await scene.accept("m2")
    assert (await scene.next_job()).subject == other.job(REMOTE)


async def test_a_mail_that_is_late_is_announced_and_still_goes_out(scene: Scene) -> None:
    scene.control._parsed[control_values.DELAYWARNING.name] = 300
    key = await scene.accept("m1")
    await (await scene.next_job()).finish()
    scene.clock.advance(400)
    await scene.attempt(key, Deferred(text="451 later"))
    notice = await scene.next_job()
    assert notice.subject == "d.remote.0.m1w0.0", "to joe, whose domain is remote here"
    await happens(scene, lambda shard: shard.units[key].record.warned and key not in shard.out)
    assert scene.owner.shard.next_due() == scene.clock() + 1600 - 400
    scene.clock.advance(1200)
    scene.owner.wake()
    assert (await scene.next_job()).subject == key.job(REMOTE)


async def test_a_job_for_an_older_version_that_was_dropped_goes_out_again(scene: Scene) -> None:
    """An operator changed the record while its job waited for a worker."""
    key = await scene.accept("m1")
    job = await scene.next_job()
    held = await scene.store.read(key)
    assert held
    note = Note("joe", "", scene.clock())
    await scene.store.settle(held, lambda r: lifecycle.rejuvenated(r, note))
    await happens(scene, lambda shard: shard.units[key].seq > held.seq and key in shard.out)
    await scene.store.tell_gone(key, held.seq)  # as a worker does with a job out of date
    await job.finish()
    await happens(scene, lambda shard: key not in shard.out)
    scene.clock.advance(module.AGAIN)
    scene.owner.wake()
    assert int((await scene.next_job()).data) > held.seq


async def test_mails_past_their_lifetime_end_with_their_destination_s_probe(scene: Scene) -> None:
    for name in ("m1", "m2"):
        await scene.accept(name)
        job = await scene.next_job()
        await scene.attempt(Key(0, name, "0"), NOBODY)
        await job.finish()
    await happens(scene, lambda shard: shard.backed_off)
    await scene.accept("m3")
    await happens(scene, lambda shard: shard.ready(REMOTE) == 1)
    scene.clock.advance(604_800 + 1000)
    scene.owner.wake()
    probe = await scene.next_job()
    await happens(scene, lambda shard: shard.ready(REMOTE) == 2)
    await scene.attempt(subjects.key_of(probe.subject), NOBODY)
    await probe.finish()
    bounces = {(await scene.next_job()).subject.rsplit(".", 2)[1] for _ in range(3)}
    assert {name[:2] for name in bounces} == {"m1", "m2", "m3"}
    assert all(name[2:] == "b0n0" for name in bounces)


async def test_a_mail_whose_job_is_out_is_not_ended(scene: Scene) -> None:
    """An earlier owner may have sent it: it may be delivered this moment."""
    key = await scene.accept("m1")
    await happens(scene, lambda shard: shard.out)
    async with asyncio.timeout(20):
        job = key.job(REMOTE)
        while await scene.bus.read(subjects.DISPATCH, job, leader=True) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    scene.clock.advance(604_800 + 1000)
    await scene.owner._expire_one(Expired(key, "no connection"))
    held = await scene.store.read(key)
    assert held
    assert (held.record.state, held.record.attempts) == (State.PENDING, 0)


async def test_a_mail_that_is_young_or_changed_is_not_ended(scene: Scene) -> None:
    key = await scene.accept("m1")
    await scene.next_job()
    await scene.bus.purge(subjects.DISPATCH, ">")
    with pytest.raises(Conflict):
        await scene.owner._expire_one(Expired(key, "no connection"))
    await scene.attempt(key, Failed(text="no such user"))
    scene.clock.advance(604_800 + 1000)
    with contextlib.suppress(Conflict):
        await scene.owner._expire_one(Expired(key, "no connection"))
    assert (await scene.next_job()).subject == "d.remote.0.m1b0n0.0", "one bounce, of its own"


async def test_a_mail_that_is_gone_is_forgotten(scene: Scene) -> None:
    key = await scene.accept("m1")
    await scene.next_job()
    await scene.bus.purge(subjects.DISPATCH, ">")
    await scene.bus.purge(subjects.queue_stream(0), key.record)
    await scene.owner._expire_one(Expired(key, "no connection"))
    assert key not in scene.owner.shard.units
    await scene.owner._expire_one(Expired(key, "no connection"))
