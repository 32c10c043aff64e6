"""Who goes first: classes by weight, destinations in turn, senders in turn, each in order."""

from collections import Counter

import pytest

from tests.scheduler.units import NOW, Sent, held, key, limits
from tubepost.destination_limits import Limit
from tubepost.record import Priority
from tubepost.subjects import LOCAL, REMOTE

NARROW = limits(1000, 4, other=Limit(4))
EVERY = limits(1000, 1000, other=Limit(1000))


def one_by_one(sent: Sent, most: int = 10_000) -> list[str]:
    """The mails in the order they go out, one after the other, each answered."""
    order: list[str] = []
    while len(order) < most and (found := sent.due(1)):
        order += found
        sent.delivered(found[0])
    return order


@pytest.mark.parametrize("channel", [LOCAL, REMOTE])
def test_classes_share_by_weight(channel: str) -> None:
    sent = Sent()
    for number in range(130):
        for priority in Priority:
            sent.put(f"{priority}{number}", channel=channel, priority=priority)
    counts = Counter(name[0] for name in one_by_one(sent, 130))
    assert counts == {"i": 80, "n": 40, "b": 10}


def test_a_lone_interactive_mail_passes_ten_thousand_bulk_mails() -> None:
    sent = Sent()
    for number in range(10_000):
        sent.put(f"b{number}", priority=Priority.BULK, sender="list@example.org")
    one_by_one(sent, 100)
    sent.put("lone", priority=Priority.INTERACTIVE)
    assert "lone" in one_by_one(sent, 2)


def test_bulk_is_not_starved_by_interactive_mail_without_end() -> None:
    sent = Sent()
    sent.put("bulk", priority=Priority.BULK)
    for number in range(40):
        sent.put(f"i{number}", priority=Priority.INTERACTIVE)
    assert one_by_one(sent).index("bulk") < 14


def test_what_comes_back_waits_with_the_bulk() -> None:
    sent = Sent()
    for number in range(100):
        sent.put(f"again{number}", attempts=1, priority=Priority.INTERACTIVE)
    sent.put("new")
    assert one_by_one(sent).index("new") <= 1


def test_senders_of_a_destination_take_turns() -> None:
    sent = Sent()
    for number in range(1000):
        sent.put(f"flood{number}", sender="flood@example.org")
    sent.put("lone1", sender="ann@example.org")
    sent.put("lone2", sender="bob@example.org")
    assert one_by_one(sent, 4) == ["flood0", "lone1", "lone2", "flood1"]


def test_a_sender_s_mails_keep_their_order() -> None:
    sent = Sent()
    for number in range(60):
        sent.put(f"{number:02}", sender=f"s{number % 3}@example.org")
    order = one_by_one(sent)
    assert sorted(order) == [f"{n:02}" for n in range(60)]
    for each in range(3):
        assert [n for n in order if int(n) % 3 == each] == [f"{n:02}" for n in range(each, 60, 3)]


def test_a_destination_with_a_long_line_costs_another_its_turn_only() -> None:
    sent = Sent(NARROW)
    for number in range(10_000):
        sent.put(f"flood{number}", destination="big.example", sender=f"s{number}@example.org")
    assert one_by_one(sent, 50)
    sent.put("lone", destination="small.example")
    assert "lone" in one_by_one(sent, 2)


def test_channels_take_turns_too() -> None:
    sent = Sent(EVERY)
    for number in range(20):
        sent.put(f"l{number}", channel=LOCAL, destination="example.org")
    sent.put("r", destination="far.example")
    assert "r" in sent.due(4)


def test_units_that_leave_the_line_are_passed_over_and_swept_out() -> None:
    sent, closed = Sent(), limits(0, 0)
    for number in range(1000):
        sent.put(f"m{number}", sender=f"s{number % 7}@example.org")
    assert sent.shard.due(NOW, closed) == []
    for number in range(995):
        sent.delivered(f"m{number}")
    lines = [line for d in sent.shard._lanes[REMOTE]._destinations.values() for line in d.lines]
    assert sum(len(line.everything()) for line in lines if line) < 50
    assert sent.shard.ready(REMOTE) == 5
    assert sorted(one_by_one(sent)) == [f"m{n}" for n in range(995, 1000)]


def test_versions_of_a_unit_that_waits_do_not_pile_up() -> None:
    sent = Sent()
    for number in range(5000):
        sent.put("later", next_attempt=NOW + 1000 + number)
        sent.put("now", attempts=1)
    shard = sent.shard
    lines = [line for d in shard._lanes[REMOTE]._destinations.values() for line in d.lines]
    assert len(shard._later) < 1100
    assert sum(len(line.everything()) for line in lines if line) < 50
    assert sent.due() == ["now"]
    assert shard.put(held("later", 99_999, next_attempt=NOW), NOW) is False
    assert shard.of_mail("later") == [held("later", 99_999, next_attempt=NOW)]
    assert shard.units[key("later")].seq == 99_999
