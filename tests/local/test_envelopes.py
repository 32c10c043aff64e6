"""The envelope of what is sent on: whose it is, and what its sender wants to be told."""

import pytest

from services.local.envelopes import passes_wishes_on, sent_on
from tubepost import verp
from tubepost.delivery import Mail
from tubepost.record import Envelope, Wish
from tubepost.resolution import Forward
from tubepost.subjects import Key

TEAM, BOB, JOE = "team@x.y", "bob@far.example", "joe@x.y"


def mail(sender: str = "ann@far.example", notify: str = "") -> Mail:
    wishes = {TEAM: Wish(notify, "rfc822;t@x.y")} if notify else {}
    return Mail(
        Key(0, "m", "0"), sender, (TEAM,), "x.y", b"", 1, 0.0, wishes, ret="FULL", envid="e"
    )


@pytest.mark.parametrize(
    ("sender", "owner", "verp", "after"),
    [
        ("ann@far.example", "", False, "ann@far.example"),
        ("ann@far.example", "", True, "ann@far.example"),
        ("ann@far.example", "team-owner@x.y", False, "team-owner@x.y"),
        ("ann@far.example", "team-owner@x.y", True, "team-owner-@x.y-@[]"),
        ("", "team-owner@x.y", True, ""),
        ("#@[]", "team-owner@x.y", False, "#@[]"),
    ],
)
def test_the_sender(sender: str, owner: str, verp: bool, after: str) -> None:
    action = Forward((BOB,), TEAM, owner, verp)
    assert sent_on(mail(sender), TEAM, action, alone=True).sender == after


def test_by_verp_each_target_hears_of_a_sender_of_its_own() -> None:
    sender = sent_on(mail(), TEAM, Forward((BOB,), TEAM, "o@x.y", True), alone=True).sender
    assert verp.sender_for(sender, BOB) == "o-bob=far.example@x.y"
    assert verp.owner(sender) == "o-@x.y", "who gets the bounces of this system"


@pytest.mark.parametrize(
    ("notify", "to", "alone", "after", "passed"),
    [
        ("SUCCESS,DELAY", (BOB,), True, "SUCCESS,DELAY", True),
        ("SUCCESS,DELAY", (BOB,), False, "DELAY", False),
        ("SUCCESS,DELAY", (BOB, JOE), True, "DELAY", False),
        ("SUCCESS", (BOB, JOE), True, "NEVER", False),
        ("NEVER", (BOB, JOE), False, "NEVER", False),
        ("NEVER", (BOB, "BOB@far.example"), True, "NEVER", True),
    ],
)
def test_what_the_sender_wants_to_be_told_goes_on(
    notify: str, to: tuple[str, ...], alone: bool, after: str, passed: bool
) -> None:
    """Success is told once: by whoever comes next where he is the only one, else by us."""
    action, came = Forward(to, TEAM), mail(notify=notify)
    envelope = sent_on(came, TEAM, action, alone=alone)
    assert {wish.notify for wish in envelope.wishes.values()} == {after}
    assert set(envelope.wishes) == set(envelope.recipients)
    assert (envelope.ret, envelope.envid) == ("FULL", "e")
    assert passes_wishes_on(came, action, alone=alone) is passed


def test_what_has_an_owner_tells_the_first_sender_nothing_more() -> None:
    action, came = Forward((BOB,), TEAM, "o@x.y"), mail(notify="SUCCESS")
    assert sent_on(came, TEAM, action, alone=True) == Envelope("o@x.y", (BOB,))
    assert not passes_wishes_on(came, action, alone=True)


@pytest.mark.parametrize(("to", "wide"), [("bob@far.example", False), ("zoë@far.example", True)])
def test_a_target_in_other_letters_needs_smtputf8(to: str, wide: bool) -> None:
    assert sent_on(mail(), TEAM, Forward((to,), TEAM), alone=True).smtputf8 is wide
