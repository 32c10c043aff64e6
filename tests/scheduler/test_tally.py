"""Counts that are kept, not walked for."""

from dataclasses import replace

from services.scheduler.tally import Destined, Ranking, Tally
from tests.scheduler.units import Sent, key, limits, record
from tubepost.record import State
from tubepost.subjects import LOCAL, REMOTE


def test_the_top_is_the_longest_first() -> None:
    ranking = Ranking()
    for name, count in (("a", 3), ("b", 5), ("c", 1), ("d", 3)):
        for _ in range(count):
            ranking.add(name, 1)
    assert ranking.top(3) == [("b", 5), ("a", 3), ("d", 3)]
    assert (ranking["b"], ranking["x"], len(ranking), ranking.total) == (5, 0, 4, 12)
    for _ in range(5):
        ranking.add("b", -1)
    assert ranking.top(9) == [("a", 3), ("d", 3), ("c", 1)]
    assert (ranking["b"], ranking.total) == (0, 7)


def test_a_group_counts_once_and_only_units_have_a_destination() -> None:
    tally = Tally()
    tally.came(record(state=State.SPLIT, channel="", destination=""))
    assert (tally.messages, tally.unprocessed, tally.top(5)) == (1, 1, [])
    tally.changed(
        record(state=State.SPLIT, channel="", destination=""),
        record(state=State.GROUP, channel="", destination=""),
    )
    for channel, destination in ((LOCAL, "x.test"), (REMOTE, "x.test"), (REMOTE, "x.test")):
        tally.came(replace(record(channel=channel, destination=destination), group=0))
    assert (tally.messages, tally.unprocessed, tally.states[State.PENDING]) == (1, 0, 3)
    assert tally.top(5) == [Destined(REMOTE, "x.test", 2), Destined(LOCAL, "x.test", 1)]
    assert tally.units_to(REMOTE, "x.test") == 2


def test_a_record_that_moves_is_counted_where_it_is() -> None:
    tally = Tally()
    tally.came(record(destination="old.test"))
    tally.changed(record(destination="old.test"), record(destination="new.test"))
    assert tally.top(5) == [Destined(REMOTE, "new.test", 1)]


def test_the_order_is_that_of_the_ids_and_goes_on_behind_one() -> None:
    sent = Sent()
    for name in ("m3", "m1", "m2"):
        sent.put(name, created=float(name[1]))
    for unit in ("1", "0"):
        held = sent.shard.units[key("m2")]
        sent.shard.put(replace(held, key=key("m2", unit), seq=90 + int(unit)), sent.now)
    found = [(u.key.mail_id, u.key.unit) for u in sent.shard.in_order()]
    assert found == [("m1", "0"), ("m2", "0"), ("m2", "1"), ("m3", "0")]
    assert [u.key.mail_id for u in sent.shard.in_order("m1")] == ["m2", "m2", "m3"]
    assert [u.key.mail_id for u in sent.shard.in_order("m2")] == ["m3"]
    assert [u.key.unit for u in sent.shard.of_mail("m2")] == ["0", "1"]
    assert sent.shard.of_mail("m") == []
    assert sent.shard.oldest == 1.0
    sent.delivered("m1")
    assert sent.shard.oldest == 2.0


def test_what_is_ready_waits_for_a_slot() -> None:
    sent = Sent(limits(1, 1))
    for number in range(3):
        sent.put(f"m{number}")
        sent.put(f"later{number}", next_attempt=sent.now + 10)
    sent.due()
    assert (sent.shard.ready(REMOTE), sent.shard.used(REMOTE)) == (2, 1)
    assert sent.shard.ready(LOCAL) == 0
