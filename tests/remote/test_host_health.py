"""What one worker learns of a host all workers know, and the bus is never in the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import APIRouter

from services.remote import host_health
from services.remote.host_health import SharedHealth, _key, _place
from services.remote.hosts_api import router
from services.remote.mx import Host
from tests.conftest import PLAN
from tests.fakes import FakeClock, MemoryBus
from tubepost import metrics, subjects
from tubepost.admin import Health, create_app
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus
from tubepost.provision import provision
from tubepost.tasks import background

HOST = Host("mx.far.example", "192.0.2.7")
OTHER = Host("mx.far.example", "192.0.2.8")


def health_on(bus: Bus, clock: FakeClock, longest: float = 3600.0) -> SharedHealth:
    return SharedHealth(bus, clock, lambda: longest)


@contextlib.asynccontextmanager
async def workers(bus: Bus, clock: FakeClock) -> AsyncIterator[tuple[SharedHealth, SharedHealth]]:
    one, two = health_on(bus, clock), health_on(bus, clock)
    async with background(one.run(), two.run()):
        yield one, two


async def until(so: Callable[[], object]) -> None:
    """For what sends no event."""
    async with asyncio.timeout(10):
        while not so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def fail(health: SharedHealth, host: Host = HOST, times: int = 2) -> None:
    for _ in range(times):
        health.failed(host, f"{host.ip}: timed out")


def client_of(routes: APIRouter) -> httpx.AsyncClient:
    app = create_app(Health(), "secret")
    app.include_router(routes)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://remote",
        headers={"Authorization": "Bearer secret"},
    )


@pytest.fixture(params=["memory_bus", "bus"])
def any_bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(request.param)
    return found


async def test_what_one_worker_met_no_worker_tries(any_bus: Bus, clock: FakeClock) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one)
        await until(lambda: two.opens(HOST))
        assert two.why_not(HOST) == one.why_not(HOST)
        assert two.why_not(HOST).startswith("timed out; again from ")
        assert two.why_not(OTHER) == ""


async def test_failures_of_two_workers_add_up(any_bus: Bus, clock: FakeClock) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one, times=1)
        await until(two.listed)
        assert two.why_not(HOST) == ""
        fail(two, times=1)
        await until(lambda: one.opens(HOST))


async def test_failures_that_two_workers_meet_at_once_add_up(
    any_bus: Bus, clock: FakeClock
) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one, times=1)
        clock.advance(0.001)
        fail(two, times=1)
        await until(lambda: one.opens(HOST) and two.opens(HOST))
        assert one.listed()[0]["failures"] == 2


async def test_who_knows_of_fewer_failures_does_not_take_others_back(
    any_bus: Bus, clock: FakeClock
) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one, times=2)
        fail(two, times=1)
        await until(lambda: one.opens(HOST) and two.opens(HOST))
        await until(lambda: not one._unwritten and not two._unwritten)
        late = health_on(any_bus, clock)
        async with background(late.run()):
            await until(lambda: late.opens(HOST))


async def test_one_tries_behind_the_back_off_and_its_answer_opens_it_for_all(
    any_bus: Bus, clock: FakeClock
) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one)
        await until(lambda: two.opens(HOST))
        clock.advance(70)
        assert one.why_not(HOST) == ""
        one.tries(HOST)
        await until(lambda: two.why_not(HOST))
        assert two.why_not(HOST) == "timed out; another delivery tries it just now"
        assert one.why_not(HOST) == two.why_not(HOST)
        one.answered(HOST)
        await until(lambda: not two.listed())
        assert two.why_not(HOST) == ""


async def test_a_try_that_fails_doubles_the_wait_for_all(any_bus: Bus, clock: FakeClock) -> None:
    async with workers(any_bus, clock) as (one, two):
        fail(one)
        await until(lambda: two.opens(HOST))
        clock.advance(70)
        assert two.why_not(HOST) == ""
        two.tries(HOST)
        fail(two, times=1)
        await until(lambda: one.listed()[0]["failures"] == 3)
        assert 108 <= one.opens(HOST) - clock() <= 132


async def test_a_worker_that_begins_later_knows_it_too(any_bus: Bus, clock: FakeClock) -> None:
    async with workers(any_bus, clock) as (one, _):
        fail(one)
        late = health_on(any_bus, clock)
        async with background(late.run()):
            await until(lambda: late.opens(HOST))


async def test_it_goes_on_after_the_bucket_was_lost(bus: NatsBus, clock: FakeClock) -> None:
    """Memory: a single server's restart takes it, and the scheduler makes it again."""
    async with workers(bus, clock) as (one, two):
        fail(one)
        await until(lambda: two.opens(HOST))
        await bus.client.jetstream().delete_stream(subjects.bucket_stream(subjects.HOSTS))
        await provision(bus.client, PLAN)
        assert two.opens(HOST)

        def told() -> bool:
            one.failed(OTHER, "timed out")
            one.answered(Host("mx.well.example", "192.0.2.9"))  # the line is well
            clock.advance(1000)
            return bool(two.opens(OTHER))

        await until(told)


async def test_without_a_bus_a_worker_knows_what_it_met(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with workers(memory_bus, clock) as (one, two):
        fail(one, OTHER)
        await until(lambda: two.opens(OTHER))
        memory_bus.away = True
        fail(one)
        assert one.why_not(HOST)
        await until(lambda: not one._unwritten)
        memory_bus.away = False
        clock.advance(70)
        assert one.why_not(HOST) == ""
        one.tries(HOST)
        await until(lambda: two.why_not(HOST))


def test_before_it_runs_it_works_all_the_same(memory_bus: MemoryBus, clock: FakeClock) -> None:
    health = health_on(memory_bus, clock)
    fail(health)
    assert health.why_not(HOST)
    health.answered(HOST)
    assert health.why_not(HOST) == ""


def test_it_can_be_switched_off(memory_bus: MemoryBus, clock: FakeClock) -> None:
    longest = 3600.0
    health = SharedHealth(memory_bus, clock, lambda: longest)
    fail(health)
    longest = 0.0
    assert (health.why_not(HOST), health.opens(HOST)) == ("", 0.0)
    fail(health, OTHER)
    assert [each["ip"] for each in health.listed()] == [HOST.ip]


def test_an_answer_of_a_host_without_a_failure_costs_no_write(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    health = health_on(memory_bus, clock)
    health.answered(HOST)
    fail(health, OTHER)
    health.answered(HOST)
    assert list(health._unwritten) == [(OTHER.ip, 25)]


def test_ports_are_hosts_of_their_own(memory_bus: MemoryBus, clock: FakeClock) -> None:
    health = health_on(memory_bus, clock)
    fail(health)
    assert health.why_not(Host(HOST.name, HOST.ip, 587)) == ""


def test_memory_is_bounded_and_the_oldest_go(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_health, "MOST", 3)
    health = health_on(memory_bus, clock)
    for number in range(5):
        fail(health, Host("h", f"192.0.2.{number}"), times=1)
    assert [each["ip"] for each in health.listed()] == ["192.0.2.4", "192.0.2.3", "192.0.2.2"]


def test_the_gauge_counts_what_is_backed_off(memory_bus: MemoryBus, clock: FakeClock) -> None:
    health = health_on(memory_bus, clock)
    fail(health)
    fail(health, OTHER, times=1)
    health.measure()
    assert metrics.HOSTS_BACKED_OFF._value.get() == 1
    clock.advance(20_000)
    health.measure()
    assert metrics.HOSTS_BACKED_OFF._value.get() == 0


def test_what_a_slow_bus_leaves_unwritten_is_bounded_too(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_health, "MOST", 3)
    health = health_on(memory_bus, clock)
    for number in range(5):
        fail(health, Host("h", f"192.0.2.{number}"), times=1)
    assert len(health._unwritten) == 3


@pytest.mark.parametrize("place", [("192.0.2.7", 25), ("2001:db8::7", 2525), ("::1", 25)])
def test_a_key_names_address_and_port(place: tuple[str, int]) -> None:
    assert _place(_key(place)) == place


@pytest.mark.parametrize("key", ["", "v4", "v4.1.25", "v6.x.25", "v4.192.0.2.7.x"])
def test_a_key_that_is_none_of_ours_is_passed_over(key: str) -> None:
    assert _place(key) is None


async def test_an_operator_sees_and_resets(memory_bus: MemoryBus, clock: FakeClock) -> None:
    async with workers(memory_bus, clock) as (one, two):
        fail(one)
        await until(lambda: two.opens(HOST))
        async with client_of(router(two)) as client:
            (found,) = (await client.get("/v1/hosts")).json()
            assert (found["ip"], found["port"], found["why"]) == (HOST.ip, 25, "timed out")
            assert (found["failures"], found["trying"]) == (2, False)
            done = await client.post(f"/v1/hosts/{HOST.ip}/reset")
            assert done.json() == {"ip": HOST.ip, "ports": [25]}
            assert (await client.post("/v1/hosts/far.example/reset")).status_code == 400
        await until(lambda: not one.listed())
