"""A shard's part of the limits, and the limit that is smaller than the number of shards."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler import app
from services.scheduler.app import Scheduler, share
from services.scheduler.settings import Settings
from tests.conftest import PLAN
from tubepost import control_values, subjects
from tubepost.events import NOBODY
from tubepost.nats_bus import NatsBus
from tubepost.provision import MAX_UNFINISHED, limit_jobs, provision
from tubepost.subjects import LOCAL, REMOTE
from tubepost.tasks import background


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_the_parts_of_a_limit_are_the_limit(limit: int, shards: int) -> None:
    parts = [share(limit, shard, shards) for shard in range(shards)]
    assert max(parts) - min(parts) <= 1
    assert sum(parts) == (max(limit, shards) if limit else 0)


async def unfinished(bus: NatsBus, channel: str) -> int | None:
    info = await bus.client.jetstream().consumer_info(subjects.DISPATCH, channel)
    found: int | None = info.config.max_ack_pending
    return found


async def test_a_limit_below_the_number_of_shards_is_the_dispatch_s(bus: NatsBus) -> None:
    assert await unfinished(bus, REMOTE) == MAX_UNFINISHED
    for _ in range(2):
        await limit_jobs(bus.client, {LOCAL: 0, REMOTE: 1}, shards=2)
        assert (await unfinished(bus, LOCAL), await unfinished(bus, REMOTE)) == (MAX_UNFINISHED, 1)
    assert await provision(bus.client, PLAN) is False
    assert await unfinished(bus, REMOTE) == 1, "another replica leaves it alone"
    await limit_jobs(bus.client, {LOCAL: 3, REMOTE: 2}, shards=2)
    assert await unfinished(bus, REMOTE) == MAX_UNFINISHED


async def becomes(bus: NatsBus, channel: str, most: int) -> None:
    """Returns when the consumer has that limit; the server sends no event."""
    async with asyncio.timeout(20):
        while await unfinished(bus, channel) != most:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_owner_of_shard_0_keeps_it_so(
    bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "CHECK_LIMITS", 0.05)
    scheduler = Scheduler(bus, Settings(nats_url="nats://unused", shards=2), NOBODY)
    scheduler.control._parsed[control_values.CONCURRENCYREMOTE.name] = 1
    monkeypatch.setitem(scheduler.owners, 0, None)
    async with background(scheduler.limit_jobs()):
        await becomes(bus, REMOTE, 1)
        await limit_jobs(bus.client, {REMOTE: 5}, shards=2)  # as a consumer made anew
        await becomes(bus, REMOTE, 1)


async def test_no_second_job_is_given_to_anybody_before_the_first_is_over(bus: NatsBus) -> None:
    await limit_jobs(bus.client, {REMOTE: 1}, shards=2)
    for name in ("a", "b"):
        await bus.append(f"d.remote.0.{name}.0", b"1", expect=0)
    jobs = bus.work(REMOTE, 10)
    first = await anext(jobs)
    waiting = asyncio.ensure_future(anext(jobs))
    info = await bus.client.jetstream().consumer_info(subjects.DISPATCH, REMOTE)
    assert (info.num_ack_pending, info.num_pending, waiting.done()) == (1, 1, False)
    await first.finish()
    async with asyncio.timeout(20):
        second = await waiting
    assert {first.subject, second.subject} == {"d.remote.0.a.0", "d.remote.0.b.0"}
    await second.finish()
