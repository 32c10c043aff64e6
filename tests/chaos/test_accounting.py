"""The account finds what it is there to find: a runner that cannot fail would prove nothing."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.accounting import Account, Bounce, Boxed, Facts, account
from tests.chaos.client import Attempt, Sent
from tests.chaos.kills import Kill
from tests.chaos.servers import Left
from tests.chaos.sink import Arrival
from tests.chaos.workload import Mail, Workload, digest, due

NEAR, FAR, DEAD = "box0@home.example", "ok-c1-0@plain0.far.example", "never-c1-1@plain0.far.example"
MAIL = Mail(1, "test", "from0@home.example", (FAR, NEAR, DEAD))
DIGEST = digest(MAIL.content())
ACCEPTED = Attempt(MAIL, Sent.ACCEPTED, 1000.0, MAIL.recipients, "id1", "250 ok 1000 qp id1")
AT_SINK = Arrival(FAR, 1001.0, "127.0.0.11", DIGEST)
IN_BOX = Boxed(NEAR, "c1", "1000.id1_0", 1001.0, DIGEST)
BOUNCE = Bounce(DEAD, "c1", "1000.id1b_0", 1002.0)

GOOD = Facts(
    attempts=[ACCEPTED],
    arrivals=[AT_SINK],
    boxed=[IN_BOX],
    bounces=[BOUNCE],
    left=[],
    kills=[],
    stored={},
    worker_at={"127.0.0.11": "remote-1"},
)
AGAIN = replace(AT_SINK, at=1010.0)


def causes(kills: Sequence[Kill], stored: float | None) -> list[str]:
    outcomes = {("remote-1", FAR): [stored]} if stored else {}
    facts = replace(GOOD, arrivals=[AT_SINK, AGAIN], kills=kills, stored=outcomes)
    return [copy.cause for copy in account(facts).duplicates]


def test_a_mail_that_is_everywhere_it_belongs_is_no_finding() -> None:
    assert account(GOOD) == Account()


@pytest.mark.parametrize(
    ("facts", "address"),
    [
        (replace(GOOD, arrivals=[]), FAR),
        (replace(GOOD, boxed=[]), NEAR),
        (replace(GOOD, bounces=[]), DEAD),
    ],
    ids=["far", "near", "dead"],
)
def test_a_recipient_that_has_nothing_is_lost(facts: Facts, address: str) -> None:
    [lost] = account(facts).lost
    assert (lost.mail_id, lost.address) == ("id1", address)


def test_what_is_still_in_the_queue_is_stuck_and_not_lost() -> None:
    left = Left("0.id1.0", "id1", "pending", (FAR,))
    result = account(replace(GOOD, arrivals=[], left=[left]))
    assert result.lost == []
    assert [missing.state for missing in result.stuck] == ["pending"]


@pytest.mark.parametrize("sent", [Sent.UNKNOWN, Sent.TEMPFAILED])
def test_without_a_250_a_mail_may_be_nowhere_but_not_at_half_of_its_recipients(sent: Sent) -> None:
    unanswered = replace(ACCEPTED, sent=sent, mail_id="")
    nowhere = replace(GOOD, attempts=[unanswered], arrivals=[], boxed=[], bounces=[])
    assert account(nowhere) == Account()
    half = replace(nowhere, boxed=[IN_BOX])
    assert {missing.address for missing in account(half).lost} == {FAR, DEAD}


def test_a_worker_killed_right_after_the_250_excuses_a_second_copy() -> None:
    assert causes([Kill("remote-1", 1001.005, 1002.0)], None) == ["rfc1047"]


def test_the_excuse_needs_that_very_worker_before_its_outcome_was_stored() -> None:
    assert causes([Kill("remote-2", 1001.005, 1002.0)], None) == ["unexplained"]
    assert causes([Kill("remote-1", 1001.005, 1002.0)], 1001.002) == ["unexplained"]
    assert causes([Kill("remote-1", 1005.0, 1006.0)], None) == ["unexplained"]


def test_a_write_that_waited_for_the_bus_excuses_it_longer() -> None:
    kills = [Kill("nats-1", 1000.9, 1002.0), Kill("remote-1", 1005.0, 1006.0)]
    assert causes(kills, None) == ["rfc1047"]


def test_a_record_that_comes_back_after_a_kill_of_the_server_is_no_excuse() -> None:
    assert causes([Kill("nats-1", 1005.0, 1006.0)], 1001.002) == ["revived"]


def test_a_changed_copy_and_a_wrong_bounce_are_found() -> None:
    damaged = replace(AT_SINK, digest="0")
    result = account(
        replace(GOOD, arrivals=[damaged], bounces=[BOUNCE, replace(BOUNCE, address=FAR)])
    )
    assert len(result.damaged) == 1
    assert result.wrong == [f"a bounce for {FAR} (1000.id1b_0)"]


def test_a_refusal_is_a_finding() -> None:
    refused = Attempt(MAIL, Sent.REFUSED, 1000.0, reply="554 no")
    assert account(replace(GOOD, attempts=[refused], arrivals=[], boxed=[], bounces=[])).wrong


def test_the_same_seed_makes_the_same_mails_and_every_recipient_is_due_somewhere() -> None:
    first, second = (Workload(5, retries=True) for _ in range(2))
    mails = [first.next() for _ in range(300)]
    assert mails == [second.next() for _ in range(300)]
    assert {due(a) for mail in mails for a in mail.recipients} == {"sink", "box", "bounce"}


def test_the_digest_sees_every_line_and_no_line_end() -> None:
    content = Mail(2, "big", "a@home.example", (FAR,), 2000).content()
    assert digest(content) == digest(content.replace(b"\r\n", b"\n"))
    lines = content.split(b"\r\n")
    lines[10], lines[11] = lines[11], lines[10]
    assert digest(content) != digest(b"\r\n".join(lines))
