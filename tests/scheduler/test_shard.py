"""The shard's memory: who goes out next, limits per channel and destination, versions."""

import pytest

from services.scheduler.shard import Limits, Shard
from tests.scheduler.units import NOW, held, key
from tubepost.record import State
from tubepost.subjects import LOCAL, REMOTE

WIDE = Limits({LOCAL: 1000, REMOTE: 1000}, destination=20)


def names(shard: Shard, limits: Limits = WIDE, now: float = NOW, most: int = 256) -> list[str]:
    return [unit.key.mail_id for unit in shard.due(now, limits, most)]


def test_a_long_line_at_one_destination_does_not_delay_another() -> None:
    shard = Shard()
    for number in range(100_000):
        shard.put(held(f"flood{number}", number + 1, destination="slow.example"))
    shard.put(held("single", 100_001, destination="quick.example"))
    first = names(shard, Limits({LOCAL: 10, REMOTE: 100}, destination=20))
    assert "single" in first[:2]
    assert len(first) == 21, "20 for the slow destination, 1 for the other"


def test_destinations_take_turns() -> None:
    shard = Shard()
    for number in range(9):
        shard.put(held(f"m{number}", number + 1, destination=f"d{number // 3}.example"))
    assert names(shard) == ["m0", "m3", "m6", "m1", "m4", "m7", "m2", "m5", "m8"]


def test_within_a_destination_the_oldest_goes_first() -> None:
    shard = Shard()
    for seq, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        shard.put(held(f"m{seq}", seq, next_attempt=at))
    assert names(shard) == ["m2", "m3", "m1"]


def test_a_destination_has_a_limit_until_one_comes_back() -> None:
    shard, limits = Shard(), Limits({LOCAL: 10, REMOTE: 10}, destination=2)
    for seq in range(1, 5):
        shard.put(held(f"m{seq}", seq))
    assert names(shard, limits) == ["m1", "m2"]
    assert names(shard, limits) == []
    shard.gone(key("m1"), 1)
    assert names(shard, limits) == ["m3"]
    assert shard.used(REMOTE) == 2


def test_a_unit_that_comes_to_a_full_destination_keeps_its_turn() -> None:
    shard, limits = Shard(), Limits({LOCAL: 10, REMOTE: 10}, destination=1)
    shard.put(held("m1", 1))
    shard.put(held("m2", 2))
    assert names(shard, limits) == ["m1"]
    assert names(shard, limits) == []  # now the line of m2 waits for a place
    shard.put(held("m3", 3))
    assert names(shard, limits) == []
    shard.gone(key("m1"), 1)
    assert names(shard, limits) == ["m2"]
    shard.gone(key("m2"), 2)
    assert names(shard, limits) == ["m3"]


def test_a_local_destination_has_the_limit_of_its_channel_alone() -> None:
    shard, limits = Shard(), Limits({LOCAL: 3, REMOTE: 0}, destination=1)
    for seq in range(1, 6):
        shard.put(held(f"m{seq}", seq, channel=LOCAL, destination="example.org"))
    shard.put(held("far", 9))
    assert names(shard, limits) == ["m1", "m2", "m3"]


def test_a_raised_limit_lets_out_what_waited() -> None:
    shard = Shard()
    shard.put(held("m1"))
    assert names(shard, Limits({LOCAL: 0, REMOTE: 0}, destination=1)) == []
    assert names(shard, Limits({LOCAL: 0, REMOTE: 1}, destination=1)) == ["m1"]


def test_no_more_than_asked_for_in_one_go_and_the_rest_in_the_next() -> None:
    shard = Shard()
    for seq in range(1, 6):
        shard.put(held(f"m{seq}", seq, channel=LOCAL))
    assert names(shard, most=3) == ["m1", "m2", "m3"]
    assert names(shard, most=3) == ["m4", "m5"]


def test_what_is_not_due_waits_for_its_time() -> None:
    shard = Shard()
    shard.put(held("later", next_attempt=NOW + 400))
    assert names(shard, now=NOW + 399.9) == []
    assert shard.next_due() == NOW + 400
    assert names(shard, now=NOW + 400) == ["later"]
    assert shard.next_due() is None


def test_a_deferred_unit_comes_back_and_goes_out_again_at_its_next_time() -> None:
    shard = Shard()
    shard.put(held("m", 1))
    assert names(shard) == ["m"]
    shard.put(held("m", 2, next_attempt=NOW + 400, attempts=1))
    assert (shard.used(REMOTE), names(shard), shard.next_due()) == (0, [], NOW + 400)
    assert names(shard, now=NOW + 400) == ["m"]


def test_an_older_version_changes_nothing() -> None:
    shard = Shard()
    shard.put(held("m", 5))
    assert shard.put(held("m", 4, state=State.DONE)) is False
    assert shard.put(held("m", 5, state=State.DONE)) is False
    assert shard.units[key("m")].record.state is State.PENDING


def test_a_newer_version_takes_the_place_of_one_that_stands_in_line() -> None:
    shard, closed = Shard(), Limits({LOCAL: 0, REMOTE: 0}, destination=1)
    shard.put(held("m", 1))
    assert names(shard, closed) == []
    shard.put(held("m", 2, next_attempt=NOW + 10))
    assert names(shard) == []
    found = shard.due(NOW + 10, WIDE)
    assert [unit.seq for unit in found] == [2]


@pytest.mark.parametrize("state", [State.BOUNCE, State.DONE, State.SPLIT, State.GROUP])
def test_the_owner_is_told_to_settle_what_is_its_own(state: State) -> None:
    shard = Shard()
    assert shard.put(held("m", state=state)) is True
    assert names(shard) == []


@pytest.mark.parametrize("state", [State.PENDING, State.PARKED])
def test_the_owner_does_not_settle_the_rest(state: State) -> None:
    assert Shard().put(held("m", state=state)) is False


def test_gone_tells_the_record_once_and_never_for_a_version_that_is_still_there() -> None:
    shard = Shard()
    shard.put(held("m", 7))
    assert shard.gone(key("m"), 6) is None
    assert shard.gone(key("other"), 7) is None
    assert shard.gone(key("m"), 7) == held("m", 7).record
    assert shard.gone(key("m"), 7) is None
    assert names(shard) == []


def test_a_job_that_could_not_be_stored_goes_out_again_later() -> None:
    shard = Shard()
    shard.put(held("m"))
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
    shard.put(held("m1", 1))
    shard.put(held("m2", 2))
    shard.held_by_worker([key("m1"), key("unknown")], NOW)
    assert names(shard) == ["m2"]
    assert shard.used(REMOTE) == 2


def test_out_since_tells_old_jobs_only() -> None:
    shard = Shard()
    shard.put(held("m1", 1))
    shard.due(NOW, WIDE)
    shard.put(held("m2", 2))
    shard.due(NOW + 50, WIDE)
    assert [unit.key.mail_id for unit in shard.out_since(NOW + 50)] == ["m1"]
