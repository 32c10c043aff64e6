"""When a round of handing out ends early: units wait for places, and many of these came free."""

import pytest

from services.scheduler.lane import BATCH
from tests.scheduler.units import Sent, key, limits
from tubepost.destination_limits import Limit
from tubepost.subjects import LOCAL


def trusted(limit: int, waiting: int) -> tuple[Sent, list[str]]:
    """A destination that gets `limit` at once, and what is out for it."""
    sent = Sent(limits(far_example=Limit(limit)))
    for number in range(waiting):
        sent.put(f"m{number}")
    out = sent.due()
    while len(out) < limit:
        for name in out:
            sent.delivered(name)
        out = sent.due()
    return sent, out


def returns_until_refill(sent: Sent, out: list[str]) -> int:
    """How many of them have to end before a round is worth it; 0 = the end of all is not enough."""
    for number, name in enumerate(out, 1):
        assert not sent.shard.refills
        sent.delivered(name)
        if sent.shard.refills:
            return number
    return 0


@pytest.mark.parametrize(("limit", "needed"), [(1, 1), (2, 1), (5, 3), (20, 10), (200, BATCH)])
def test_half_of_what_is_out_or_a_batch(limit: int, needed: int) -> None:
    sent, out = trusted(limit, 1000)
    assert returns_until_refill(sent, out) == needed
    assert len(sent.due()) == needed
    assert not sent.shard.refills, "that round begins anew"


def test_nothing_ends_early_where_nobody_waits_for_a_place() -> None:
    sent = Sent()
    for number in range(100):
        sent.put(f"m{number}", destination=f"d{number % 50}.example")
    out = sent.due()
    assert len(out) == 100
    for number in range(50):
        sent.put(f"new{number}", destination=f"d{number}.example")
    assert returns_until_refill(sent, out) == 0
    assert len(sent.due()) == 50


def test_one_of_many_that_are_out_is_not_enough() -> None:
    sent = Sent(limits(far_example=Limit(1)))
    sent.put("m1")
    sent.put("m2")
    for number in range(50):
        sent.put(f"slow{number}", destination=f"d{number}.example")
    sent.due()
    sent.delivered("m1")
    assert not sent.shard.refills
    assert sent.due() == ["m2"]


def test_it_is_so_for_the_places_of_a_channel_too() -> None:
    sent = Sent(limits(local=6))
    for number in range(20):
        sent.put(f"m{number}", channel=LOCAL, destination=f"d{number}.example")
    assert returns_until_refill(sent, sent.due()) == 3


def test_a_host_that_is_backed_off_ends_no_round() -> None:
    sent = Sent()
    for number in range(20):
        sent.put(f"m{number}", attempts=1, unreachable=True)
    (probe,) = sent.due()
    sent.unreachable(probe)
    assert not sent.shard.refills


def test_a_job_that_could_not_be_stored_leaves_its_place_to_others() -> None:
    sent, out = trusted(1, 3)
    sent.shard.put_back(key(out[0]), sent.now + 1)
    assert sent.shard.refills
    assert len(sent.due()) == 1
