"""The counters that processes share: windows, merging in any order, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd import rates
from services.smtpd.rates import MOST_CLIENTS, Rates, Row, network_of
from tubepost.rate_limits import KINDS, Limit

HOUR = Limit(100, 3600)
NOW = 1_700_000_000.0
WHO = "192.0.2.1"


def added(counter: Rates, times: int, *, now: float = NOW, who: str = WHO) -> Rates:
    for _ in range(times):
        counter.add("mails", HOUR, who, now)
    return counter


def count(counter: Rates, *, now: float = NOW, who: str = WHO) -> int:
    return counter.count("mails", HOUR, who, now)


def told(teller: Rates, *hearers: Rates, now: float = NOW) -> list[Row]:
    """What changed, in the form it has on the bus."""
    rows = rates.parse(rates.encoded(teller.name, teller.changed()))
    assert rows is not None
    for hearer in hearers:
        hearer.merge(rows, now)
    return rows


def test_what_nobody_did_counts_nothing() -> None:
    assert count(Rates("a")) == 0
    assert len(Rates("a")) == 0


@given(st.lists(st.floats(0, 20_000), max_size=60).map(sorted))
def test_in_no_period_anybody_does_more_than_the_limit(times: list[float]) -> None:
    """Whoever is refused at the limit never has more than the limit in any period."""
    limit, counter, allowed = Limit(5, 3600), Rates("a"), []
    for at in times:
        if counter.count("mails", limit, WHO, NOW + at) < limit.most:
            counter.add("mails", limit, WHO, NOW + at)
            allowed.append(at)
    for first in allowed:
        assert sum(first <= at < first + limit.period for at in allowed) <= limit.most


@given(st.floats(0, 3600))
def test_it_is_forgotten_a_tenth_of_the_period_late_at_most(at: float) -> None:
    counter = added(Rates("a"), 1, now=NOW + at)
    assert count(counter, now=NOW + at + 3599) == 1
    assert count(counter, now=NOW + at + 3600 + 361) == 0


def test_the_sum_of_all_processes_counts() -> None:
    a, b, c = added(Rates("a"), 3), added(Rates("b"), 4), Rates("c")
    told(a, b, c)
    told(b, a, c)
    assert [count(counter) for counter in (a, b, c)] == [7, 7, 7]


MESSAGES = st.permutations(range(6)).flatmap(
    lambda order: st.lists(st.sampled_from(order), max_size=12).map(lambda more: [*order, *more])
)


@given(MESSAGES)
def test_messages_that_come_twice_or_out_of_order_do_no_harm(order: list[int]) -> None:
    a, b = Rates("a"), Rates("b")
    messages = [told(added(a, 1, now=NOW + 400 * n)) for n in (0, 0, 1, 1, 2, 2)]
    for number in order:
        b.merge(messages[number], NOW + 800)
    assert count(b, now=NOW + 800) == count(a, now=NOW + 800) == 6


def test_a_lost_message_is_made_up_for_by_the_next_of_its_slot() -> None:
    a, b = Rates("a"), Rates("b")
    told(added(a, 2))
    told(added(a, 1), b)
    assert count(b) == 3


def test_only_what_changed_is_told() -> None:
    a = added(added(Rates("a"), 5), 1, who="192.0.2.2")
    assert [(row[3], row[5]) for row in told(a)] == [(WHO, 5), ("192.0.2.2", 1)]
    assert told(a) == []
    added(a, 1)
    a.forget_changed()
    assert told(a) == []


def test_who_begins_learns_what_all_know_those_that_are_gone_too() -> None:
    gone, stays, new = added(Rates("gone"), 2), added(Rates("stays"), 3), Rates("new")
    told(gone, stays)
    new.merge(stays.rows(of_others=False), NOW)
    assert count(new) == 3
    new.merge(stays.rows(of_others=True), NOW)
    assert count(new) == 5


def test_nobody_can_tell_us_what_we_did_ourselves() -> None:
    a = added(Rates("a"), 1)
    a.merge([("a", "mails", 3600, WHO, int(NOW / 360), 99)], NOW)
    assert count(a) == 1


@pytest.mark.parametrize(
    ("kind", "period", "slot"),
    [("mails", 60, 0), ("mails", 3600, -11), ("mails", 3600, 2), ("calls", 3600, 0)],
    ids=["another period", "over", "to come", "unknown kind"],
)
def test_counts_that_cannot_be_ours_are_left_alone(kind: str, period: int, slot: int) -> None:
    a = added(Rates("a"), 1)
    a.merge([("b", kind, period, WHO, int(NOW / 360) + slot, 5)], NOW)
    assert count(a) == 1
    assert len(a) == 1


def test_another_period_begins_anew() -> None:
    a = added(Rates("a"), 5)
    assert a.count("mails", Limit(100, 60), WHO, NOW) == 0
    assert told(a) == []


def test_what_is_over_is_forgotten() -> None:
    a = added(added(Rates("a"), 1), 1, now=NOW + 3000, who="192.0.2.2")
    a.expire(NOW + 4000)
    assert len(a) == 1
    assert count(a, now=NOW + 4000, who="192.0.2.2") == 1
    a.expire(NOW + 9000)
    assert len(a) == 0


def test_slots_that_are_over_take_no_room() -> None:
    a, b = Rates("a"), Rates("b")
    for hour in range(0, 40_000, 300):
        told(added(a, 1, now=NOW + hour), b, now=NOW + hour)
    assert len(list(a.rows(of_others=True))) == len(list(b.rows(of_others=True))) == 11


def test_a_flood_of_clients_takes_no_more_room_and_hides_no_busy_one() -> None:
    a = added(Rates("a"), 50)
    for number in range(MOST_CLIENTS + 100):
        added(a, 1, who=f"2001:db8:{number:x}::/64")
    assert len(a) == MOST_CLIENTS
    assert count(a) == 50
    assert count(a, who="2001:db8:0::/64") == 0


def test_the_busiest_are_listed_first() -> None:
    a = added(added(Rates("a"), 20), 30, who="192.0.2.2")
    a.add("errors", Limit(2, 60), WHO, NOW)
    limits = {"mails": HOUR, "errors": Limit(2, 60)}
    found = [(one.kind, one.who, one.count) for one in a.nearest(limits, NOW, 2)]
    assert found == [("errors", WHO, 1), ("mails", "192.0.2.2", 30)]


@given(
    st.lists(
        st.tuples(
            st.text(),
            st.sampled_from(KINDS),
            st.integers(1, 10**6),
            st.text(),
            st.integers(),
            st.integers(),
        )
    )
)
def test_a_message_is_read_as_it_was_written(rows: list[Row]) -> None:
    message = rates.encoded("a1b2", rows)
    assert message.startswith(rates.prefix("a1b2"))
    assert rates.parse(message) == rows


@pytest.mark.parametrize("rows", ["", "{", "{}x", "[1]", "[[1,2]]", '[["p","mails","x","w",1,1]]',
                                  '[["p","mails",Infinity,"w",1,1]]'])  # fmt: skip
def test_what_another_release_wrote_is_not_read(rows: str) -> None:
    assert rates.parse(b"a " + rows.encode()) is None


@given(st.binary(max_size=60))
def test_nothing_that_comes_over_the_bus_raises(data: bytes) -> None:
    Rates("a").merge(rates.parse(b"b " + data) or [], NOW)


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv6_client_is_its_64(ip: str, network: str) -> None:
    assert network_of(ip) == network
