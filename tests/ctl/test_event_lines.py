"""Events as lines: each kind has a sentence; what a stranger sent is made printable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import event_lines
from ctl.event_lines import age, life, line, sentence
from tests.ctl import lives
from tests.ctl.lives import ANN, BOB, ONE, T
from tubepost.events import KINDS, decoded

HEAD = f"2023-11-14 22:13:20.000Z {ONE}"
MORE = {"recipients": ["a@b.c"] * 20, "count": 300, "user": "joe@example.org"}
WARNED = {**lives.common("warned", ONE, 1, "scheduler"), "unit": "0", "to": "joe@example.org"}
OPERATOR = {**lives.common("operator", "", 1, "scheduler"), "unit": "", "action": "pause remote"}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            lives.accepted(),
            (
                "accepted from <joe@example.org> to ann@far.example: 1234 octets by smtp 192.0.2.7 "
                "(client.example)"
            ),
        ),
        (
            {**lives.accepted(), **MORE},
            (
                f"accepted from <joe@example.org> to {', '.join(['a@b.c'] * 20)} and 280 more: "
                "1234 octets by smtp 192.0.2.7 (client.example), user joe@example.org"
            ),
        ),
        (
            lives.bounce(ONE + "b0a1", ONE, 1),
            f"accepted from <> to joe@example.org: 1234 octets by bounce of {ONE}",
        ),
        (lives.split(1), "split into 2 units: 0 local example.org, 1 remote far.example"),
        (
            {**lives.split(1), "count": 30},
            "split into 30 units: 0 local example.org, 1 remote far.example and 28 more",
        ),
        (
            lives.started(ANN, BOB, began=0, at=1),
            (
                "attempt 1 remote far.example is under way since 2023-11-14 22:13:20.000Z: "
                "ann@far.example, bob@far.example"
            ),
        ),
        (
            lives.DEFERRAL_THEN_SUCCESS[1],
            (
                "attempt 1 remote far.example, 0.400 s: ann@far.example deferral: 451 come back "
                "later; next try 2023-11-14 22:20:00.000Z"
            ),
        ),
        (
            lives.attempt(
                {**lives.outcome(ANN, "deferral", "452 full"), "kind": "mailbox_full"},
                began=0,
                at=0.4,
                state="held",
            ),
            (
                "attempt 1 remote far.example, 0.400 s: ann@far.example deferral (mailbox_full): "
                "452 full"
            ),
        ),
        (
            lives.SEVERAL[4],
            (
                "attempt 2 of unit 1 remote far.example, 0.500 s: bob@far.example success: "
                f"{lives.OK}; unit 1 is done"
            ),
        ),
        (
            lives.FAILURE[1],
            (
                "attempt 1 remote far.example, 0.100 s: bob@far.example failure: "
                "550 no such user (#5.1.1); a report is to follow"
            ),
        ),
        (lives.FAILURE[3], f"single bounce {ONE}b0a1 to joe@example.org"),
        (lives.TRIPLE[6], "triple bounce: dropped"),
        (
            lives.bounced(ONE, "", 1, kind="unwanted", to=""),
            "no bounce: its sender asked for none",
        ),
        (
            lives.bounced(ONE, f"{ONE}d0n0", 1, kind="relayed"),
            f"its sender was told that it was relayed: {ONE}d0n0 to joe@example.org",
        ),
        (
            {**WARNED, "warning": f"{ONE}w1"},
            f"its sender was told of the delay: {ONE}w1 to joe@example.org",
        ),
        (lives.parked(1), "set aside: mail.1.0 is not in the store"),
        ({**OPERATOR, "actor": "root", "why": "moving"}, "pause remote by root: moving"),
        (lives.ended(ONE, 400.5), "ended after 6m40s"),
        (decoded(b""), "an event that cannot be read"),
        (
            {**lives.common("newer", ONE, 1, "x"), "seq": 7, "colour": "red", "n": 1},
            "newer colour=red n=1",
        ),
        ({**lives.common("accepted", ONE, 1, "x"), "odd": 1}, "accepted odd=1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value["event"],
)
def test_each_event_is_a_sentence(event: lives.Event, text: str) -> None:
    assert sentence(event) == text


def test_every_kind_has_its_sentence() -> None:
    assert set(event_lines._SENTENCES) == {*KINDS, "unreadable"}


def test_a_line_has_time_mail_and_sentence() -> None:
    assert line(lives.accepted()).startswith(f"{HEAD} accepted from ")
    assert line({**OPERATOR, "actor": "a", "why": "b"}).startswith("2023-11-14 22:13:21.000Z - ")


@given(st.text())
def test_what_a_peer_says_is_one_printable_line(said: str) -> None:
    event = lives.attempt(lives.outcome(ANN, text=said), began=0, at=1)
    assert all(" " <= c <= "~" for c in line(event))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "+0.000s"), (0.1234, "+0.123s"), (59.9, "+59.900s"), (60, "+1m0s"), (3599, "+59m59s"),
     (3600, "+1h0m"), (86_399, "+23h59m"), (90_000, "+1d1h"), (604_800, "+7d0h")],
)  # fmt: skip
def test_ages_have_two_units_at_most(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_life_has_ages_and_its_bounce_below() -> None:
    events = sorted(lives.FAILURE, key=lambda event: float(event["at"]))
    assert list(life(events)) == [
        f"mail {ONE}",
        (
            "  2023-11-14 22:13:20.000Z   +0.000s  accepted from <joe@example.org> to "
            "bob@far.example: 1234 octets by smtp 192.0.2.7 (client.example) [smtpd/host-1]"
        ),
        (
            "  2023-11-14 22:13:20.200Z   +0.200s  attempt 1 remote far.example, 0.100 s: "
            "bob@far.example failure: 550 no such user (#5.1.1); a report is to follow "
            "[remote/host-1]"
        ),
        (
            f"  2023-11-14 22:13:20.310Z   +0.310s  single bounce {ONE}b0a1 to joe@example.org "
            "[scheduler/host-1]"
        ),
        "  2023-11-14 22:13:20.320Z   +0.320s  ended after 0.320s [scheduler/host-1]",
        f"  bounce {ONE}b0a1",
        (
            "    2023-11-14 22:13:20.300Z   +0.000s  accepted from <> to joe@example.org: "
            f"1234 octets by bounce of {ONE} [scheduler/host-1]"
        ),
        (
            "    2023-11-14 22:13:20.500Z   +0.200s  attempt 1 local example.org, 0.100 s: "
            "joe@example.org success: did_1+0+0/; done [local/host-1]"
        ),
    ]


def test_the_time_of_a_line_is_utc() -> None:
    assert event_lines.stamp(T) == "2023-11-14 22:13:20.000Z"
