"""The shard's memory: who goes out next, limits per channel and destination, versions."""

import pytest

from services.scheduler.shard import Limits, Shard
from tests.scheduler.units import NOW, held, key, limits
from tubepost.destination_limits import Limit
from tubepost.record import State
from tubepost.subjects import LOCAL, REMOTE

WIDE = limits()


def names(shard: Shard, in_force: Limits = WIDE, now: float = NOW, most: int = 256) -> list[str]:
    return [unit.key.mail_id for unit in shard.due(now, in_force, most)]


def test_a_long_line_at_one_destination_does_not_delay_another() -> None:
    shard = Shard()
    for number in range(100_000):
        shard.put(held(f"flood{number}", number + 1, destination="slow.example"), NOW)
    shard.put(held("single", 100_001, destination="quick.example"), NOW)
    first = names(shard, limits(10, 100, other=Limit(20)))
    assert "single" in first[:2]
    assert len(first) == 6, "5 for a destination nothing is known of, 1 for the other"


def test_destinations_take_turns() -> None:
    shard = Shard()
    for number in range(9):
        shard.put(held(f"m{number}", number + 1, destination=f"d{number // 3}.example"), NOW)
    assert names(shard) == ["m0", "m3", "m6", "m1", "m4", "m7", "m2", "m5", "m8"]


def test_within_a_destination_the_oldest_goes_first() -> None:
    shard = Shard()
    for seq, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        shard.put(held(f"m{seq}", seq, next_attempt=at), 0.0)
    assert names(shard) == ["m2", "m3", "m1"]


def test_a_destination_has_a_limit_until_one_comes_back() -> None:
    shard, in_force = Shard(), limits(10, 10, other=Limit(2))
    for seq in range(1, 5):
        shard.put(held(f"m{seq}", seq), NOW)
    assert names(shard, in_force) == ["m1", "m2"]
    assert names(shard, in_force) == []
    shard.gone(key("m1"), 1, NOW)
    assert names(shard, in_force) == ["m3"]
    assert shard.used(REMOTE) == 2


def test_a_unit_that_comes_to_a_full_destination_keeps_its_turn() -> None:
    shard, in_force = Shard(), limits(10, 10, other=Limit(1))
    shard.put(held("m1", 1), NOW)
    shard.put(held("m2", 2), NOW)
    assert names(shard, in_force) == ["m1"]
    assert names(shard, in_force) == []  # now the line of m2 waits for a place
    shard.put(held("m3", 3), NOW)
    assert names(shard, in_force) == []
    shard.gone(key("m1"), 1, NOW)
    assert names(shard, in_force) == ["m2"]
    shard.gone(key("m2"), 2, NOW)
    assert names(shard, in_force) == ["m3"]


def test_a_local_destination_has_the_limit_of_its_channel_alone() -> None:
    shard, in_force = Shard(), limits(3, 0, other=Limit(1))
    for seq in range(1, 6):
        shard.put(held(f"m{seq}", seq, channel=LOCAL, destination="example.org"), NOW)
    shard.put(held("far", 9), NOW)
    assert names(shard, in_force) == ["m1", "m2", "m3"]


def test_a_raised_limit_lets_out_what_waited() -> None:
    shard = Shard()
    shard.put(held("m1"), NOW)
    assert names(shard, limits(0, 0, other=Limit(1))) == []
    assert names(shard, limits(0, 1, other=Limit(1))) == ["m1"]


def test_no_more_than_asked_for_in_one_go_and_the_rest_in_the_next() -> None:
    shard = Shard()
    for seq in range(1, 6):
        shard.put(held(f"m{seq}", seq, channel=LOCAL), NOW)
    assert names(shard, most=3) == ["m1", "m2", "m3"]
    assert names(shard, most=3) == ["m4", "m5"]


def test_what_is_not_due_waits_for_its_time() -> None:
    shard = Shard()
    shard.put(held("later", next_attempt=NOW + 400), NOW)
    assert names(shard, now=NOW + 399.9) == []
    assert shard.next_due() == NOW + 400
    assert names(shard, now=NOW + 400) == ["later"]
    assert shard.next_due() is None


def test_a_deferred_unit_comes_back_and_goes_out_again_at_its_next_time() -> None:
    shard = Shard()
    shard.put(held("m", 1), NOW)
    assert names(shard) == ["m"]
    shard.put(held("m", 2, next_attempt=NOW + 400, attempts=1), NOW)
    assert (shard.used(REMOTE), names(shard), shard.next_due()) == (0, [], NOW + 400)
    assert names(shard, now=NOW + 400) == ["m"]


def test_an_older_version_changes_nothing() -> None:
    shard = Shard()
    shard.put(held("m", 5), NOW)
    assert shard.put(held("m", 4, state=State.DONE), NOW) is False
    assert shard.put(held("m", 5, state=State.DONE), NOW) is False
    assert shard.units[key("m")].record.state is State.PENDING


def test_a_newer_version_takes_the_place_of_one_that_stands_in_line() -> None:
    shard, closed = Shard(), limits(0, 0, other=Limit(1))
    shard.put(held("m", 1), NOW)
    assert names(shard, closed) == []
    shard.put(held("m", 2, next_attempt=NOW + 10), NOW)
    assert names(shard) == []
    found = shard.due(NOW + 10, WIDE)
    assert [unit.seq for unit in found] == [2]


@pytest.mark.parametrize("state", [State.BOUNCE, State.DONE, State.SPLIT, State.GROUP])
def test_the_owner_is_told_to_settle_what_is_its_own(state: State) -> None:
    shard = Shard()
    assert shard.put(held("m", state=state), NOW) is True
    assert names(shard) == []


@pytest.mark.parametrize("state", [State.PENDING, State.PARKED])
def test_the_owner_does_not_settle_the_rest(state: State) -> None:
    assert Shard().put(held("m", state=state), NOW) is False


def test_gone_tells_the_record_once_and_never_for_a_version_that_is_still_there() -> None:
    shard = Shard()
    shard.put(held("m", 7), NOW)
    assert shard.gone(key("m"), 6, NOW) is None
    assert shard.gone(key("other"), 7, NOW) is None
    assert shard.gone(key("m"), 7, NOW) == held("m", 7).record
    assert shard.gone(key("m"), 7, NOW) is None
    assert names(shard) == []


def test_a_job_that_could_not_be_stored_goes_out_again_later() -> None:
    shard = Shard()
    shard.put(held("m"), NOW)
    assert names(shard) == ["m"]
    shard.put_back(key("m"), NOW + 1)
    assert (shard.out, shard.used(REMOTE), names(shard)) == ({}, 0, [])
    assert names(shard, now=NOW + 1) == ["m"]


def test_a_unit_that_is_gone_cannot_be_put_back() -> None:
    shard = Shard()
    shard.put_back(key("m"), NOW)
    assert names(shard) == []


def test_what_a_worker_holds_is_out_already() -> None:
    shard = Shard()
    shard.put(held("m1", 1), NOW)
    shard.put(held("m2", 2), NOW)
    shard.held_by_worker([key("m1"), key("unknown")], NOW)
    assert names(shard) == ["m2"]
    assert shard.used(REMOTE) == 2


def test_out_since_tells_old_jobs_only() -> None:
    shard = Shard()
    shard.put(held("m1", 1), NOW)
    shard.due(NOW, WIDE)
    shard.put(held("m2", 2), NOW)
    shard.due(NOW + 50, WIDE)
    assert [unit.key.mail_id for unit in shard.out_since(NOW + 50)] == ["m1"]
