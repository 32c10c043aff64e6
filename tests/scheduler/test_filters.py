"""Which units a filter means."""

from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.filters import Filter
from tests.scheduler.units import NOW, key, record
from tubepost.record import Held, Recipient, Record, State

LATER = NOW + 3600
ANN = Recipient(
    "Ann@Far.example", reply="451 Greylisted, try later", status="4.7.1", kind="greylisted"
)
MAIL = record(ANN, attempts=3)


def matches(chosen: Filter, what: Record = MAIL) -> bool:
    return chosen.matcher(LATER)(Held(key("m"), 1, what))


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"domain": "FAR.example"}, {"domain": "r.example"}),
        ({"sender": "Joe@example.org"}, {"sender": "oe@example.org"}),
        ({"sender": "@example.org"}, {"sender": "@xample.org"}),
        ({"recipient": "ann@far.example"}, {"recipient": "nn@far.example"}),
        ({"recipient": "@far.EXAMPLE"}, {"recipient": "@example"}),
        ({"state": "pending"}, {"state": "held"}),
        ({"channel": "remote"}, {"channel": "local"}),
        ({"error": "greylisted"}, {"error": "no such user"}),
        ({"kind": "Greylisted"}, {"kind": "grey"}),
        ({"older": 3600}, {"older": 3601}),
        ({"newer": 3600}, {"newer": 3599}),
        ({"attempts": 3}, {"attempts": 4}),
    ],
)
def test_each_filter(given: dict[str, Any], other: dict[str, Any]) -> None:
    assert matches(Filter(**given))
    assert not matches(Filter(**other))


def test_no_filter_is_everything() -> None:
    assert Filter().given() == {}
    assert matches(Filter())


def test_all_that_is_given_has_to_match() -> None:
    assert matches(Filter(domain="far.example", channel="remote", attempts=1))
    assert not matches(Filter(domain="far.example", channel="local", attempts=1))


def test_the_sender_of_bounces() -> None:
    assert not matches(Filter(sender="<>"))
    assert matches(Filter(sender="<>"), replace(MAIL, sender=""))


def test_a_recipient_s_domain_counts_where_the_destination_is_another() -> None:
    assert matches(Filter(domain="far.example"), replace(MAIL, destination="other.example"))


def test_what_a_record_does_not_say_does_not_match() -> None:
    split = replace(MAIL, state=State.SPLIT, channel="", destination="", recipients=())
    assert matches(Filter(state="split", sender="@example.org"), split)
    for chosen in (Filter(domain="far.example"), Filter(recipient="ann@far.example")):
        assert not matches(chosen, split)


def test_a_filter_goes_over_the_bus_and_back() -> None:
    chosen = Filter(domain="far.example", older=60, attempts=2)
    assert Filter(**chosen.given()) == chosen
