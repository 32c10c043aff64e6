"""A worker that reaches nobody blames no host for long, and tells the others of none."""

import pytest
from structlog.testing import capture_logs

from services.remote.host_health import SharedHealth
from services.remote.mx import Host
from services.remote.uplink import DOUBTED, Uplink
from tests.fakes import FakeClock, MemoryBus
from tests.remote.test_host_health import fail, health_on, until, workers

HOST = Host("mx.far.example", "192.0.2.7")
OTHERS = [Host(f"mx{n}.other.example", f"198.51.100.{n}") for n in range(20)]


@pytest.fixture
def health(memory_bus: MemoryBus, clock: FakeClock) -> SharedHealth:
    return health_on(memory_bus, clock)


def hours_without_a_line(health: SharedHealth, clock: FakeClock) -> None:
    """Each host is tried whenever it may be."""
    for _ in range(300):
        for host in (HOST, *OTHERS):
            if not health.why_not(host):
                health.tries(host)
                health.failed(host, f"{host.ip}: timed out")
        clock.advance(30)


def test_it_is_in_doubt_once_nobody_was_reached_some_times_in_a_row() -> None:
    uplink = Uplink()
    assert [uplink.failed() for _ in range(DOUBTED + 1)] == [False] * (DOUBTED - 1) + [True, False]
    assert uplink.doubted
    assert uplink.reached()
    assert not uplink.doubted
    assert not uplink.reached(), "told once"
    assert not uplink.failed()


def test_an_hour_after_it_went_every_host_is_tried_within_a_minute_of_its_return(
    health: SharedHealth, clock: FakeClock
) -> None:
    hours_without_a_line(health, clock)
    assert all(health.opens(host) <= clock() + 66 for host in (HOST, *OTHERS))
    clock.advance(66)
    for host in (HOST, *OTHERS):
        assert health.why_not(host) == ""


def test_what_did_not_count_is_not_held_against_a_host_afterwards(
    health: SharedHealth, clock: FakeClock
) -> None:
    hours_without_a_line(health, clock)
    health.answered(OTHERS[0])
    clock.advance(70)
    health.tries(HOST)
    fail(health, HOST, times=1)
    assert health.opens(HOST) <= clock() + 132, "the third failure"


def test_while_anybody_answers_the_waits_grow(health: SharedHealth, clock: FakeClock) -> None:
    for _ in range(8):
        clock.advance(4000)
        health.tries(HOST)
        fail(health, HOST, times=1)
        health.answered(OTHERS[0])
    assert health.opens(HOST) > clock() + 3000


def test_a_host_that_takes_connections_and_is_not_welcoming_shows_that_the_line_is_well(
    health: SharedHealth, clock: FakeClock
) -> None:
    for _ in range(8):
        clock.advance(4000)
        health.tries(HOST)
        health.failed(HOST, "421 busy", connected=True)
    assert health.opens(HOST) > clock() + 3000


async def test_the_others_do_not_hear_what_a_doubted_worker_meets(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    async with workers(memory_bus, clock) as (cut_off, well):
        for host in OTHERS:
            fail(cut_off, host)
        assert all(cut_off.why_not(host) for host in OTHERS)
        cut_off.answered(OTHERS[0])
        fail(cut_off, HOST)
        await until(lambda: well.opens(HOST))
        told = [host for host in OTHERS if well.why_not(host)]
        assert len(told) < DOUBTED


def test_the_operator_reads_of_it_once_and_of_its_end(health: SharedHealth) -> None:
    with capture_logs() as entries:
        for host in OTHERS:
            fail(health, host)
        health.answered(HOST)
        health.answered(HOST)
    told = [e for e in entries if str(e["event"]).startswith("uplink.")]
    assert [e["event"] for e in told] == ["uplink.doubted", "uplink.back"]
    assert (told[0]["failures"], told[0]["why"]) == (DOUBTED, "timed out")
