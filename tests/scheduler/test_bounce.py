"""Which reports are owed, about whom, and to whom they go."""

from dataclasses import replace

import pytest

from services.scheduler import bounce
from services.scheduler.bounce import Action
from tests.scheduler.units import NOW, record
from tubepost.record import Fate, Priority, Recipient, Record, State

JOE, POSTMASTER = "joe@example.org", "postmaster@example.org"


def somebody(fate: Fate, notify: str = "", name: str = "ann") -> Recipient:
    return Recipient(f"{name}@far.example", fate, "said", notify=notify)


def owed(*recipients: Recipient, channel: str = "remote") -> list[tuple[str, str, list[str]]]:
    made = record(*recipients, state=State.BOUNCE, channel=channel)
    return [
        (one.action, one.report_id, [r.address.partition("@")[0] for r in one.recipients])
        for one in bounce.owed(made, "m", "0")
    ]


def test_everybody_who_failed_is_in_one_report() -> None:
    everybody = [somebody(fate, name=fate.name.lower()) for fate in Fate]
    assert owed(*everybody, somebody(Fate.FAILED, name="bob")) == [
        ("failed", "mb0n2", ["failed", "bob"]),
        ("relayed", "md0n4", ["unconfirmed"]),
    ]


@pytest.mark.parametrize(("channel", "action"), [("local", "delivered"), ("remote", "relayed")])
def test_success_is_delivered_here_and_relayed_elsewhere(channel: str, action: str) -> None:
    assert owed(somebody(Fate.UNCONFIRMED), channel=channel) == [(action, "md0n0", ["ann"])]


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS", "DELAY", "SUCCESS,DELAY"])
def test_a_failure_that_nobody_wants_to_hear_of(notify: str) -> None:
    quiet = somebody(Fate.FAILED, notify, "quiet")
    assert owed(quiet) == []
    assert owed(quiet, somebody(Fate.FAILED, "FAILURE,DELAY")) == [("failed", "mb0n1", ["ann"])]
    assert bounce.unwanted(record(quiet, somebody(Fate.FAILED, "FAILURE"))) == (quiet,)


def test_who_is_settled_when_the_reports_are_stored() -> None:
    everybody = record(*[somebody(fate, "NEVER", fate.name.lower()) for fate in Fate])
    assert bounce.told(everybody) == {"failed@far.example", "unconfirmed@far.example"}


def test_a_later_report_of_the_same_attempt_is_another_mail() -> None:
    """An operator gives up on bob: no attempt was made since ann's bounce."""
    ann, bob = somebody(Fate.FAILED), somebody(Fate.WAITING, name="bob")
    [first] = bounce.owed(record(ann, bob), "m", "0")
    ann, bob = replace(ann, fate=Fate.BOUNCED), replace(bob, fate=Fate.FAILED)
    [second] = bounce.owed(record(ann, bob), "m", "0")
    assert first.report_id != second.report_id


def test_a_bounce_goes_to_the_sender_with_the_null_sender() -> None:
    assert bounce.addressed(JOE, POSTMASTER) == bounce.Addressed("single", "", JOE)


def test_a_bounce_of_a_list_s_mail_goes_to_the_list() -> None:
    to = bounce.addressed("list-@example.org-@[]", POSTMASTER)
    assert to == bounce.Addressed("single", "", "list-@example.org")


def test_what_bounces_of_a_bounce_goes_to_the_postmaster() -> None:
    to = bounce.addressed("", POSTMASTER)
    assert to == bounce.Addressed("double", "#@[]", POSTMASTER)


def test_what_bounces_of_a_double_bounce_is_dropped() -> None:
    assert bounce.addressed("#@[]", POSTMASTER) is None


# --- delays

AFTER = 3600.0
LATE = NOW + AFTER + 1


def waiting(*recipients: Recipient, **more: object) -> Record:
    """Tried, and to be tried again after LATE. `more`: of the record."""
    made = record(*recipients, attempts=2, next_attempt=LATE + 100)
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_mail_that_waits_for_long_is_announced() -> None:
    ann, bob = somebody(Fate.WAITING), somebody(Fate.WAITING, "DELAY", "bob")
    quiet, done = somebody(Fate.WAITING, "FAILURE", "quiet"), somebody(Fate.DELIVERED, name="done")
    made = waiting(done, ann, quiet, bob)
    assert bounce.warning(made, "m", "3", LATE, AFTER) == bounce.Owed(
        Action.DELAYED, "mw3", (ann, bob)
    )


@pytest.mark.parametrize(
    ("change", "now", "after"),
    [
        ({}, LATE, 0),
        ({}, NOW + AFTER, AFTER),
        ({"warned": True}, LATE, AFTER),
        ({"attempts": 0}, LATE, AFTER),
        ({"next_attempt": LATE}, LATE, AFTER),
        ({"state": State.HELD}, LATE, AFTER),
        ({"state": State.BOUNCE}, LATE, AFTER),
        ({"priority": Priority.BULK}, LATE, AFTER),
        ({"sender": ""}, LATE, AFTER),
        ({"sender": "#@[]"}, LATE, AFTER),
        ({"recipients": (somebody(Fate.WAITING, "NEVER"),)}, LATE, AFTER),
        ({"recipients": (somebody(Fate.WAITING, "SUCCESS,FAILURE"),)}, LATE, AFTER),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_no_notice_of_a_delay(change: dict[str, object], now: float, after: float) -> None:
    assert bounce.warning(waiting(), "m", "0", LATE, AFTER)
    assert bounce.warning(waiting(**change), "m", "0", now, after) is None


def test_a_rejuvenated_mail_is_late_all_the_same() -> None:
    assert bounce.warning(waiting(born=LATE - 1), "m", "0", LATE, AFTER)
