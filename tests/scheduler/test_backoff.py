"""Destinations that cannot be reached: backed off as a whole, probed, opened again, forgotten."""

import pytest

from services.scheduler.shard import Shard
from tests.scheduler.units import NOW, Sent, key, limits
from tubepost import retry
from tubepost.destination_limits import Limit
from tubepost.record import State
from tubepost.subjects import LOCAL, REMOTE

DEAD = "dead.example"
WEEK = 604_800.0


def backed_off(mails: int = 50) -> Sent:
    """`mails` due for DEAD; the first two met no host, the others that were out were lost."""
    sent = Sent()
    for number in range(mails):
        sent.put(f"m{number}", destination=DEAD)
    for number, name in enumerate(sent.due()):
        if number < 2:
            sent.unreachable(name, wait=10 * WEEK, error="timed out")
        else:
            sent.shard.put_back(key(name), sent.now)
    return sent


def the_probe(sent: Sent) -> str:
    """Goes on to the end of the back-off, where exactly one unit goes out."""
    until = sent.shard.troubles()[0].until
    sent.now = until - 0.1
    assert sent.due() == []
    assert sent.shard.next_due() == until
    sent.now = until
    found = sent.due()
    assert len(found) == 1
    assert sent.due() == []
    return found[0]


def test_nothing_goes_out_while_it_is_backed_off_and_others_do_not_notice() -> None:
    sent = backed_off()
    assert sent.due() == []
    sent.put("lone", destination="far.example")
    assert sent.due() == ["lone"]
    assert [unit.record.attempts for unit in sent.shard.units.values()].count(0) == 49


def test_a_probe_that_fails_doubles_the_wait() -> None:
    sent = backed_off()
    waits = []
    for _ in range(9):
        start = sent.now
        sent.unreachable(the_probe(sent), wait=10 * WEEK)
        waits.append(sent.now - start)
    assert all(54 * 2**n <= wait <= 66 * 2**n for n, wait in enumerate(waits[:5]))
    assert all(3240 <= wait <= 3960 for wait in waits[6:])


@pytest.mark.parametrize("ending", [Sent.delivered, Sent.deferred])
def test_a_probe_that_is_answered_opens_it(ending: object) -> None:
    sent = backed_off()
    name = the_probe(sent)
    ending(sent, name)  # type: ignore[operator]
    assert sent.shard.troubles() == []
    assert len(sent.due()) == 5
    for each in list(sent.shard.out):
        sent.delivered(each.mail_id)
    assert len(sent.due()) == 10


def test_a_probe_that_was_lost_says_nothing_and_another_goes() -> None:
    sent = backed_off()
    name = the_probe(sent)
    sent.shard.put_back(key(name), sent.now + 1)
    assert len(sent.due()) == 1
    assert sent.shard.troubles()[0].failures == 2


def test_what_changed_without_an_attempt_says_nothing() -> None:
    sent = backed_off()
    name = the_probe(sent)
    sent.put(name, destination=DEAD, state=State.HELD, unreachable=True)
    assert sent.shard.troubles()[0].failures == 2
    assert len(sent.due()) == 1


def test_a_local_destination_is_never_backed_off_and_has_no_limit() -> None:
    sent = Sent(limits(8, 8, example_org=Limit(1)))
    for number in range(20):
        sent.put(f"m{number}", channel=LOCAL, destination="example.org")
    for _ in range(4):
        found = sent.due()
        assert len(found) == 8
        for name in found:
            sent.unreachable(name, wait=0.0)


def test_a_takeover_does_not_storm_a_dead_host() -> None:
    sent = Sent()
    for number in range(20):
        sent.put(f"m{number}", destination=DEAD, attempts=3, unreachable=True)
        sent.put(f"n{number}", destination=DEAD)
    assert len(sent.due()) == 1
    found = sent.shard.troubles()[0]
    assert (found.window, found.failures, found.until) == (1, 1, 0.0)


def test_dead_destinations_get_a_quarter_of_the_slots() -> None:
    sent = Sent(limits(10, 40))
    for number in range(100):
        sent.put(f"m{number}", destination=f"d{number}.example", attempts=1, unreachable=True)
    assert len(sent.due()) == 10
    for number in range(50):
        sent.put(f"ok{number}", destination=f"ok{number}.example")
    assert len(sent.due()) == 30
    assert sent.shard.used(REMOTE) == 40


def test_they_get_a_slot_however_busy_the_others_keep_it() -> None:
    sent = Sent(limits(10, 4))
    for number in range(200):
        sent.put(f"ok{number}", destination=f"ok{number}.example")
    sent.put("dead", destination=DEAD, attempts=1, unreachable=True)
    gone = []
    while "dead" not in gone:
        found = sent.due()
        assert found
        for name in found:
            sent.delivered(name)
        gone += found
    assert len(gone) < 40


def test_one_mail_tried_at_once_opens_its_destination() -> None:
    sent = backed_off()
    sent.shard.hurry([key("m0")], sent.now)
    assert sent.shard.troubles() == []
    found = sent.due()
    assert len(found) == 5


def test_a_mail_that_is_not_due_goes_out_at_once_when_hurried() -> None:
    sent = Sent()
    sent.put("m", next_attempt=NOW + 400)
    sent.shard.hurry([key("m"), key("unknown")], NOW)
    assert sent.due() == ["m"]
    sent.shard.put_back(key("m"), NOW + 500)
    sent.now = NOW + 450
    assert sent.due() == [], "the first instant no longer counts"
    sent.now = NOW + 500
    assert sent.due() == ["m"]


# --- memory


def known(shard: Shard) -> list[str]:
    return [name for lane in shard._lanes.values() for name in lane._destinations]


def test_a_destination_without_units_is_forgotten() -> None:
    sent = Sent()
    for number in range(100):
        sent.put(f"m{number}", destination=f"d{number}.example")
        sent.put(f"l{number}", channel=LOCAL, destination=f"d{number}.example")
    for name in sent.due():
        sent.delivered(name)
    assert known(sent.shard) == []


def test_a_back_off_is_forgotten_when_it_has_passed_and_nothing_waits() -> None:
    sent = backed_off(2)
    until = sent.shard.troubles()[0].until
    for name in ("m0", "m1"):
        sent.delivered(name)
    assert known(sent.shard) == [DEAD]
    assert sent.shard.next_due() == until
    sent.now = until
    assert sent.due() == []
    assert (known(sent.shard), sent.shard.backed_off, sent.shard.next_due()) == ([], 0, None)


def test_but_not_while_a_deferred_unit_is_there() -> None:
    sent = backed_off(2)
    sent.now += 100_000
    assert sent.due() == []
    assert (known(sent.shard), sent.shard.backed_off) == ([DEAD], 1)


# --- rate


def test_a_line_sleeps_until_its_rate_allows() -> None:
    sent = Sent(limits(far_example=Limit(20, rate=0.1)))
    for name in ("m1", "m2", "m3"):
        sent.put(name)
    assert sent.due() == ["m1"]
    assert sent.shard.next_due() == NOW + 10
    sent.delivered("m1")
    assert sent.due() == []
    sent.now = NOW + 10
    assert sent.due() == ["m2"]
    assert sent.shard.next_due() == NOW + 20


def test_lone_mails_keep_to_the_rate_though_the_line_is_empty_between_them() -> None:
    sent = Sent(limits(far_example=Limit(20, rate=0.1)))
    sent.put("m1")
    assert sent.due() == ["m1"]
    sent.delivered("m1")
    sent.put("m2")
    assert sent.due() == []
    sent.now = NOW + 10
    assert sent.due() == ["m2"]
    sent.delivered("m2")
    sent.now = NOW + 20
    assert sent.due() == []
    assert known(sent.shard) == []


def test_a_raised_limit_acts_at_once() -> None:
    sent = Sent(limits(far_example=Limit(1)))
    for number in range(9):
        sent.put(f"m{number}")
    assert len(sent.due()) == 1
    sent.limits = limits(far_example=Limit(3))
    assert len(sent.due()) == 2


# --- pauses


@pytest.mark.parametrize("what", [REMOTE, "far.example"])
def test_what_is_paused_waits_and_the_owner_does_not_spin(what: str) -> None:
    sent = Sent(limits(paused=(what,)))
    sent.put("m", next_attempt=NOW + 5)
    sent.put("l", channel=LOCAL, destination="example.org")
    assert sent.due() == ["l"]
    sent.now = NOW + 5
    assert sent.due() == []
    assert sent.shard.next_due() is None
    assert sent.shard.ready(REMOTE) == 1
    sent.limits = limits()
    assert sent.due() == ["m"]


# --- what is too old


def test_units_past_their_lifetime_end_with_the_probe_that_failed() -> None:
    sent = backed_off()
    sent.put("young", destination=DEAD, created=NOW + WEEK)
    sent.now += WEEK
    assert sent.shard.expired_behind_backoff(WEEK) == [], "no probe has failed since"
    (probe,) = sent.due()
    sent.now += 60
    sent.unreachable(probe, wait=10 * WEEK, error="timed out/" + retry.EXPIRED)
    ended = sent.shard.expired_behind_backoff(WEEK)
    assert len(ended) == 47
    assert {each.error for each in ended} == {"timed out"}
    assert not {each.key.mail_id for each in ended} & {"m0", "m1", "young", probe}
    assert sent.shard.expired_behind_backoff(WEEK) == []
    sent.now = sent.shard.troubles()[0].until
    assert sent.due() == ["young"]


def test_the_search_is_bounded_and_goes_on() -> None:
    sent = backed_off(100)
    sent.now += WEEK + 1000
    sent.unreachable(sent.due()[0], wait=10 * WEEK)
    found = []
    calls = 0
    while sent.shard.searching:
        found += sent.shard.expired_behind_backoff(WEEK, most=10)
        calls += 1
    assert (len({each.key for each in found}), len(found), calls) == (97, 97, 10)


def test_one_that_could_not_be_ended_goes_on() -> None:
    sent = backed_off(4)
    sent.now += WEEK + 1000
    sent.unreachable(sent.due()[0], wait=10 * WEEK)
    (ended,) = sent.shard.expired_behind_backoff(WEEK)
    sent.now += 10_000
    assert sent.due() == []
    sent.shard.put_back(ended.key, sent.now)
    assert sent.due() == [ended.key.mail_id]


def test_no_unit_is_looked_at_before_one_is_old() -> None:
    sent = backed_off(1000)
    sent.unreachable(the_probe(sent), wait=10 * WEEK)
    assert sent.shard.expired_behind_backoff(WEEK, most=1) == []
    assert not sent.shard.searching


# --- what a record tells beside whether a host was reached


def test_a_destination_comes_back_with_its_hosts() -> None:
    sent = Sent()
    for name in ("m1", "m2"):
        sent.put(name, destination=DEAD)
    sent.due()
    sent.put("m1", destination=DEAD, attempts=1, unreachable=True, opens=NOW + 300)
    (found,) = sent.shard.troubles()
    assert NOW + 300 <= found.until <= NOW + 330


def test_one_that_is_told_to_be_slower_gets_less_and_is_in_no_trouble() -> None:
    sent = Sent()
    for number in range(20):
        sent.put(f"m{number}")
    first = sent.due()
    assert len(first) == 5
    sent.now += 1
    for name in first:
        sent.put(name, attempts=1, throttled=True, next_attempt=NOW + 400)
    assert len(sent.due()) == 2
    assert sent.shard.backed_off == 0


def test_a_probe_that_asked_no_host_says_nothing_and_another_goes() -> None:
    sent = backed_off()
    name = the_probe(sent)
    sent.put(name, destination=DEAD, attempts=1, unasked=True, next_attempt=sent.now + 400)
    assert sent.shard.troubles()[0].failures == 2
    assert len(sent.due()) == 1


def test_nor_does_such_an_attempt_make_a_destination_trusted_with_more() -> None:
    sent = Sent()
    for number in range(20):
        sent.put(f"m{number}")
    for name in sent.due():
        sent.put(name, attempts=1, unasked=True, next_attempt=sent.now + 400)
    assert len(sent.due()) == 5
