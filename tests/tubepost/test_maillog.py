"""The log: each event with its fields, counted where it is logged; lines that machines read."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tubepost import log_lines, maillog
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Held, Recipient, Record, State
from tubepost.subjects import Key

KEY = Key(1, "018b", "u2")
RECORD = Record(
    state=State.PENDING,
    channel="remote",
    destination="x.y",
    sender="s@x.y",
    recipients=(Recipient("a@x.y"),),
    size=1,
    created=100.0,
    attempts=2,
    next_attempt=500.0,
)

CALLS: list[tuple[Callable[[], None], str, str]] = [
    (lambda: maillog.service_ready("smtpd", {"smtp": "127.0.0.1:25"}), "service.ready", "info"),
    (lambda: maillog.service_stopped("smtpd"), "service.stopped", "info"),
    (lambda: maillog.settings_in_force("smtpd", {"shards": 2}), "service.settings", "info"),
    (lambda: maillog.bad_setting("TUBEPOST_SHARDS", "why"), "service.bad_setting", "error"),
    (lambda: maillog.service_failed("smtpd", "why"), "service.failed", "error"),
    (lambda: maillog.certificate_made("cert.pem"), "tls.self_signed", "warning"),
    (lambda: maillog.child_ended("nats", 1), "child.ended", "warning"),
    (lambda: maillog.bus_away("why"), "bus.away", "warning"),
    (maillog.bus_back, "bus.back", "info"),
    (lambda: maillog.bus_error("why"), "bus.error", "warning"),
    (lambda: maillog.accepted("018b", {"size": 1}, source="smtp"), "mail.accepted", "info"),
    (lambda: maillog.refused("relay", "553 no", {"client": "c"}), "smtp.refused", "info"),
    (lambda: maillog.worker_failed("local", KEY, "why"), "delivery.interrupted", "warning"),
    (lambda: maillog.unreadable(KEY, "why"), "mail.unreadable", "error"),
    (lambda: maillog.bounced("a", "b", kind="single", to="s@x.y"), "mail.bounced", "info"),
    (lambda: maillog.ended(KEY, "local", 1.23456), "mail.ended", "debug"),
    (lambda: maillog.parked(KEY, "why"), "mail.parked", "error"),
    (lambda: maillog.shard_owned(1), "shard.owned", "info"),
    (lambda: maillog.shard_lost(1, "why"), "shard.lost", "warning"),
    (lambda: maillog.login("pop3", "joe", "c", result="refused"), "login.refused", "info"),
    (lambda: maillog.relay_opened("c", "joe", result="opened"), "relay.opened", "info"),
    (lambda: maillog.relay_many_users("c", ["joe", "ann"]), "relay.many_users", "warning"),
    (lambda: maillog.changed("domain added", "x.y", "admin"), "admin.changed", "info"),
]


@pytest.mark.parametrize(("call", "event", "level"), CALLS, ids=[event for _, event, _ in CALLS])
def test_each_call_is_one_line(call: Callable[[], None], event: str, level: str) -> None:
    with capture_logs() as lines:
        call()
    assert [(line["event"], line["log_level"]) for line in lines] == [(event, level)]


def test_an_attempt_has_a_line_for_each_recipient() -> None:
    outcomes: dict[str, Outcome] = {
        "a@x.y": Delivered(text="ok", peer="192.0.2.1", tls="TLSv1.3 X"),
        "b@x.y": Deferred(
            text="busy", status="4.2.2", kind="mailbox_full", phase="rcpt", seconds=0.0612345
        ),
        "c@x.y": Failed(text="no"),
    }
    with capture_logs() as lines:
        maillog.attempted(Held(KEY, 9, RECORD), outcomes, RECORD, seconds=0.123456)
    assert [line["event"] for line in lines] == [
        "delivery.success",
        "delivery.deferral",
        "delivery.failure",
    ]
    assert lines[0] == {
        "event": "delivery.success",
        "log_level": "info",
        "mail_id": "018b",
        "recipient": "a@x.y",
        "channel": "remote",
        "attempt": 3,
        "text": "ok",
        "peer": "192.0.2.1",
        "seconds": 0.1235,
        "host_seconds": 0.0,
        "next_attempt": 500.0,
        "tls": "TLSv1.3 X",
    }
    assert (
        lines[1].items()
        >= {
            "status": "4.2.2",
            "kind": "mailbox_full",
            "phase": "rcpt",
            "host_seconds": 0.0612,
        }.items()
    )


def test_a_mail_that_is_gone_has_no_next_attempt() -> None:
    with capture_logs() as lines:
        maillog.attempted(Held(KEY, 9, RECORD), {"a@x.y": Delivered(text="ok")}, None, seconds=1)
    assert lines[0]["next_attempt"] is None


@pytest.mark.parametrize(
    ("call", "metric", "labels"),
    [
        (lambda: maillog.accepted("m", {}, source="smtp"), "mails_accepted_total",
         {"source": "smtp"}),
        (lambda: maillog.refused("relay", "553", {}), "smtp_refusals_total", {"verdict": "relay"}),
        (lambda: maillog.bounced("a", "b", kind="double", to="x"), "bounces_total",
         {"kind": "double"}),
        (lambda: maillog.ended(KEY, "remote", -1.0), "queue_seconds_count", {"channel": "remote"}),
        (lambda: maillog.bus_away("why"), "bus_lost_total", {}),
        (lambda: maillog.login("pop3", "j", "c", result="success"), "logins_total",
         {"service": "pop3", "result": "success"}),
        (lambda: maillog.relay_opened("c", "j", result="opened"), "relay_opened_total",
         {"result": "opened"}),
    ],
)  # fmt: skip
def test_what_is_logged_is_counted(
    call: Callable[[], None], metric: str, labels: dict[str, str]
) -> None:
    before = REGISTRY.get_sample_value("tubepost_" + metric, labels) or 0
    call()
    assert REGISTRY.get_sample_value("tubepost_" + metric, labels) == before + 1


@pytest.mark.parametrize("end", [maillog.shard_lost, maillog.shard_given_up])
def test_a_shard_counts_while_it_is_owned(end: Callable[[int, str], None]) -> None:
    def owned() -> list[float | None]:
        labels = [{"shard": shard} for shard in ("0", "1")]
        return [REGISTRY.get_sample_value("tubepost_shard_owned", label) for label in labels]

    maillog.shards_not_owned(range(2))
    assert owned() == [0, 0]
    maillog.shard_owned(1)
    assert owned() == [0, 1]
    end(1, "why")
    assert owned() == [0, 0]


SCRIPT = """
from tubepost import log_lines, maillog
log_lines.configure({level!r}, "smtpd")
maillog.bus_back()
maillog.bus_away("away\\nfor\\u00e9ver")
try:
    1 / 0
except ZeroDivisionError:
    maillog.bug("dividing")
"""


def logged(level: str) -> list[dict[str, str]]:
    """The lines a process logs that is set up for `level`, its stderr no terminal."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(level=level)],
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_timestamp_is_utc_with_microseconds() -> None:
    assert log_lines.timestamp(1_795_444_492_000_001_999) == "2026-11-23T14:34:52.000001Z"
    assert log_lines.timestamp(1_795_444_492_999_999_999) == "2026-11-23T14:34:52.999999Z"
    assert log_lines.timestamp(1_795_444_493_000_000_000) == "2026-11-23T14:34:53.000000Z"


def test_lines_are_json_with_time_level_and_service() -> None:
    back, away, bug = logged("info")
    assert (back["event"], back["level"], back["service"]) == ("bus.back", "info", "smtpd")
    assert back["timestamp"].endswith("Z")
    assert away["why"] == "away\nfor\u00e9ver"
    assert (bug["event"], bug["where"], bug["level"]) == ("bug", "dividing", "error")
    assert "ZeroDivisionError" in bug["exception"]


def test_a_level_hides_what_is_below_it() -> None:
    assert [line["event"] for line in logged("error")] == ["bug"]


def test_an_address_in_other_letters_keeps_the_line_ascii() -> None:
    line = log_lines.json_line(None, "info", {"recipient": "zoë\u2028@x.y"})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["recipient"] == "zoë\u2028@x.y"
