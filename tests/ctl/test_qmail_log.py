"""qmail-send's log lines: whole lives as qmail-log(5) has them, and what a reader makes of them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl import qmail_log
from ctl.in_order import InOrder
from ctl.qmail_log import QmailLog, Step, number, safe, seconds_stamp, steps, tai64n_stamp
from tests.ctl import lives
from tests.ctl.lives import ANN, ONE, TWO, T

GOLDEN = Path(__file__).with_name("golden")
LIVES = {
    "local-success": lives.LOCAL_SUCCESS,
    "deferral-then-success": lives.DEFERRAL_THEN_SUCCESS,
    "failure-with-bounce": lives.FAILURE,
    "double-and-triple-bounce": lives.TRIPLE,
    "several-destinations": lives.SEVERAL,
    "set-aside": [lives.accepted(), lives.parked(0.2)],
    "long-delivery": [
        lives.accepted(),
        lives.started(ANN, began=0.1, at=1.2),
        lives.attempt(lives.outcome(ANN), began=0.1, at=30.0),
    ],
}


def rendered(events: Iterable[dict[str, Any]], log: QmailLog | None = None) -> list[str]:
    order: InOrder[Step] = InOrder(0)
    order.add(((s.when, s) for event in events for s in steps(event)), 0)
    log = log or QmailLog({"local": 10, "remote": 20})
    return [f"{seconds_stamp(s.at)} {line}" for s in order.rest() for line in log.lines(s)]


@pytest.mark.parametrize("name", LIVES)
def test_a_whole_life(name: str) -> None:
    assert rendered(LIVES[name]) == (GOLDEN / f"{name}.txt").read_text().splitlines()


def test_every_golden_file_has_its_life() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(LIVES)


@pytest.mark.parametrize("name", LIVES)
def test_events_that_come_late_change_nothing(name: str) -> None:
    assert rendered(reversed(LIVES[name])) == rendered(LIVES[name])


@pytest.mark.parametrize("kind", ["unwanted", "delivered", "relayed"])
def test_what_qmail_does_not_know_is_no_bounce_in_its_log(kind: str) -> None:
    without = [lives.accepted(), lives.ended(lives.ONE, 1.0)]
    told = lives.bounced(lives.ONE, "", 0.5, kind=kind, to="")
    assert rendered([*without, told]) == rendered(without)


LINE = re.compile(
    r"\d+\.\d{6} (new msg \d+"
    r"|info msg \d+: bytes \d+ from <[!-~]*> qp \d+ uid \d+"
    r"|starting delivery \d+: msg \d+ to (local|remote) [!-~]+"
    r"|delivery \d+: (success|deferral|failure): [!-~]+"
    r"|status: local \d+/10 remote \d+/20"
    r"|bounce msg \d+ qp \d+"
    r"|triple bounce: discarding bounce/\d+"
    r"|warning: msg \d+ is set aside: [!-~]+"
    r"|end msg \d+)"
)


@pytest.mark.parametrize("name", LIVES)
def test_each_line_is_one_that_qmail_log_has(name: str) -> None:
    for line in rendered(LIVES[name]):
        assert LINE.fullmatch(line), line


def matched(lines: Iterable[str]) -> list[tuple[str, ...]]:
    """What qmailanalog's matchup pairs: by the fields and numbers it takes, and nothing else."""
    mails: dict[int, str] = {}
    deliveries: dict[int, tuple[int, str]] = {}
    found: list[tuple[str, ...]] = []
    for line in lines:
        word = re.split(r"[ \t]+", line)
        if word[1] == "info":
            mails[int(word[3].rstrip(":"))] = word[7]
        elif word[1] == "starting":
            deliveries[int(word[3].rstrip(":"))] = int(word[5]), f"{word[7]}.{word[8]}"
        elif word[1] == "delivery":
            msg, to = deliveries.pop(int(word[2].rstrip(":")))
            found.append((word[3][:1], mails[msg], to))
        elif word[1] == "end":
            found.append(("end", mails.pop(int(word[3]))))
    assert not mails
    assert not deliveries
    return found


def test_a_reader_of_qmail_s_log_finds_what_happened() -> None:
    assert matched(rendered(lives.SEVERAL)) == [
        ("s", "<joe@example.org>", "local.joe@example.org"),
        ("s", "<joe@example.org>", "remote.ann@far.example"),
        ("d", "<joe@example.org>", "remote.bob@far.example"),
        ("s", "<joe@example.org>", "remote.bob@far.example"),
        ("end", "<joe@example.org>"),
    ]


def test_the_qp_of_a_bounce_is_that_of_its_info_line() -> None:
    lines = "\n".join(rendered(lives.FAILURE))
    made = re.search(r"bounce msg \d+ qp (\d+)", lines)
    assert made
    assert f"from <> qp {made[1]} uid 4" in lines


# --- what is not as it should be


def test_what_is_told_twice_is_written_once() -> None:
    log = QmailLog({"local": 10, "remote": 20})
    once = rendered(lives.SEVERAL[:2], log)
    assert len(once) == 2
    assert rendered(lives.SEVERAL[:2], log) == []
    assert len(rendered([lives.ended(ONE, 1)], log)) == 1
    assert rendered([lives.ended(ONE, 1)], log) == []


def test_a_delivery_whose_worker_died_keeps_its_number() -> None:
    lines = rendered(
        [
            lives.started(ANN, began=0.1, at=1.2),
            lives.started(ANN, began=70.1, at=71.2),
            lives.attempt(lives.outcome(ANN), began=70.1, at=75.0),
        ]
    )
    assert [line for line in lines if "starting" in line] == [
        f"1700000000.100000 starting delivery 1: msg {number(ONE)} to remote {ANN}"
    ]
    assert "status: local 0/10 remote 0/20" in lines[-2]


def test_a_delivery_that_never_ended_is_not_counted_for_ever() -> None:
    lost = lives.started(ANN, began=0.1, at=1.2)
    again = lives.attempt(lives.outcome(ANN), began=400, at=401, number=2)
    assert "status: local 0/10 remote 0/20" in rendered([lost, again])[-2]
    after = lives.attempt(lives.outcome(ANN), mail=TWO, began=3, at=4)
    assert "status: local 0/10 remote 0/20" in rendered([lost, lives.ended(ONE, 2), after])[-2]


def test_an_end_before_its_beginning_has_both_lines() -> None:
    log = QmailLog({"local": 10, "remote": 20})
    event = lives.attempt(lives.outcome(ANN), began=0.1, at=0.2)
    first, *_ = log.lines(Step("end", T, event, event["recipients"][0]))
    assert first.startswith("starting delivery 1: ")


def test_what_qmail_send_does_not_know_has_no_line() -> None:
    assert rendered([lives.split(1), {"event": "of a newer release", "at": T, "mail": ONE}]) == []


def test_the_memory_of_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmail_log, "REMEMBERED", 1)
    log = QmailLog({"local": 10, "remote": 20})
    assert len(rendered([lives.ended(ONE, 1), lives.ended(TWO, 2)], log)) == 2
    assert len(rendered([lives.ended(ONE, 3)], log)) == 1, "forgotten, so it is written again"


# --- numbers, texts, times


def test_the_number_of_a_mail_has_its_time() -> None:
    assert number(ONE) >> 20 == int(ONE[:13], 16) == T * 1000
    assert number(ONE) < 1 << 63
    assert number("ffffffffffffff") < 1 << 63
    assert number("no hex digits") < 1 << 20


def test_a_bounce_has_another_number_than_its_mail() -> None:
    assert number(ONE) != number(ONE + "b0a1")
    assert number(ONE) == 1782579200000444749


@given(st.text())
def test_a_safe_text_is_one_word_for_every_reader(text: str) -> None:
    assert re.fullmatch(r"[!-$&-~]*", safe(text))
    assert safe(safe(text)) == safe(text)


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("a b\tc", "a_b_c"),
        ("550 no\r\n550 more\n", "550_no/550_more/"),
        ("100%", "100_"),
        ("gr\u00fc\u00df", "gr__"),
        ("did_1+0+0/", "did_1+0+0/"),
    ],
)
def test_texts_are_escaped_as_qmail_does(text: str, logged: str) -> None:
    assert safe(text) == logged


def test_times_as_splogger_and_as_multilog_write_them() -> None:
    assert seconds_stamp(1_700_000_000.25) == "1700000000.250000"
    assert tai64n_stamp(1_700_000_000.25) == "@400000006553f10a0ee6b280"
