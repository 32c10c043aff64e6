"""The gauges of the queue say what the shards of this process hold."""

from prometheus_client import REGISTRY

from services.scheduler import gauges
from services.scheduler.gauges import OTHER, TOP
from tests.scheduler.units import NOW, Sent, limits
from tubepost import metrics
from tubepost.record import State
from tubepost.subjects import LOCAL, REMOTE


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def destinations() -> dict[tuple[str, str], float]:
    (family,) = metrics.QUEUE_DESTINATION.collect()
    return {(s.labels["channel"], s.labels["destination"]): s.value for s in family.samples}


def test_slots_depth_age_and_what_waits() -> None:
    narrow = limits(2, 1)
    first, second = Sent(narrow), Sent(narrow)
    for number in range(3):
        first.put(f"m{number}", created=NOW - 100 + number)
        second.put(f"l{number}", channel=LOCAL, destination="example.org")
    first.put("n-held", state=State.HELD)
    first.put("n-parked", state=State.PARKED)
    first.due()
    second.due()
    gauges.measure([(first.shard, narrow), (second.shard, limits(2, 1, paused=(LOCAL,)))], NOW)
    assert value("tubepost_slots_used", channel=REMOTE) == 1
    assert value("tubepost_slots_used", channel=LOCAL) == 2
    assert value("tubepost_slots_limit", channel=REMOTE) == 2
    assert value("tubepost_slots_limit", channel=LOCAL) == 2, "one of the shards is paused"
    assert value("tubepost_queue_ready", channel=REMOTE) == 2
    assert value("tubepost_queue_ready", channel=LOCAL) == 1
    assert value("tubepost_queue_records", state="pending") == 6
    assert value("tubepost_queue_set_aside") == 2
    assert value("tubepost_queue_oldest_seconds") == 100


def test_an_empty_queue() -> None:
    gauges.measure([], NOW)
    assert value("tubepost_queue_oldest_seconds") == 0
    assert value("tubepost_queue_records", state="pending") == 0
    assert destinations() == {(LOCAL, OTHER): 0, (REMOTE, OTHER): 0}


def test_destinations_beyond_the_first_are_added_up() -> None:
    one, two = Sent(), Sent()
    for number in range(TOP + 10):
        for mail in range(number + 1):
            one.put(f"{number}m{mail}", destination=f"d{number}.test")
    for sent in (one, two):
        for mail in range(15):
            sent.put(f"l{mail}", channel=LOCAL, destination="example.org")
    gauges.measure([(one.shard, limits()), (two.shard, limits())], NOW)
    found = destinations()
    assert len(found) == TOP + 2
    assert found[REMOTE, "d29.test"] == 30
    assert found[LOCAL, "example.org"] == 30, "the parts of both shards"
    assert sum(found.values()) == one.shard.tally.messages + two.shard.tally.messages
    one.delivered("29m0")
    gauges.measure([(one.shard, limits())], NOW)
    assert destinations()[REMOTE, "d29.test"] == 29


def test_destinations_that_are_backed_off() -> None:
    sent = Sent()
    for number in range(2):
        sent.put(f"m{number}")
    for name in sent.due():
        sent.unreachable(name)
    gauges.measure([(sent.shard, limits())], NOW)
    assert value("tubepost_destinations_backed_off") == 1
