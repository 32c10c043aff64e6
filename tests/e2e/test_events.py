"""What an operator can look up: qmail's log lines and the life of a mail, from a real platform."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ctl.qmail_log import number
from tests.e2e.platform import TUBEPOST, Platform, until
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LATER, NO = "451 4.7.1 greylisted, come back later", "550 5.1.1 there is no bob here"
JOE, ANN, BOB, EVE = "joe@example.org", "ann@far.example", "bob@far.example", "eve@far.example"


@pytest.fixture
def platform(shared: Platform, sink: Sink) -> Iterator[Platform]:
    """The sink takes mail for ann, not now for eve, and never for bob."""
    sink.answers |= {"bob": NO, "eve": LATER}
    shared.ok("control", "set", "rcpthosts", "far.example")
    shared.ok("control", "set", "smtproutes", sink.route("far.example"))
    yield shared
    for name in ("rcpthosts", "smtproutes"):
        shared.ok("control", "unset", name)


def sent(platform: Platform, *to: str) -> str:
    """Sends a mail by SMTP; its id, as the reply to DATA has it."""
    with platform.smtp() as client:
        client.ehlo()
        client.mail(JOE)
        for address in to:
            client.rcpt(address)
        _, reply = client.data("Subject: hello\r\n\r\nHi.\r\n")
    return reply.decode().split()[-1]


def life(platform: Platform, mail_id: str) -> list[dict[str, Any]]:
    """Events of a mail, or none yet."""
    done = platform.command("trace", mail_id, "--json")
    events: list[dict[str, Any]] = platform.json("trace", mail_id) if done.returncode == 0 else []
    return events


def told(platform: Platform, mail_id: str, *wanted: tuple[str, str]) -> list[dict[str, Any]]:
    """The life of a mail once these (mail, event) are in it."""

    def is_there() -> bool:
        return set(wanted) <= {(event["mail"], event["event"]) for event in life(platform, mail_id)}

    until(is_there, 30, f"{wanted}")
    return life(platform, mail_id)


def test_a_life_with_success_deferral_failure_and_bounce(platform: Platform, sink: Sink) -> None:
    mail = sent(platform, ANN, BOB, EVE, "ann@example.org")
    bounce = next(
        event["bounce"]
        for event in told(platform, mail, (mail, "bounced"))
        if event["event"] == "bounced"
    )
    events = told(platform, mail, (bounce, "attempt"), (mail, "split"))
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    outcomes = {r["address"]: r for e in events if e["event"] == "attempt" for r in e["recipients"]}
    said = {address: r["outcome"] for address, r in outcomes.items()}
    success = dict.fromkeys((ANN, JOE, "ann@example.org"), "success")
    assert said == {**success, BOB: "failure", EVE: "deferral"}
    assert LATER in outcomes[EVE]["text"]
    assert [m.recipients for m in sink.mails] == [(ANN,)]

    lines = platform.ok("trace", mail).splitlines()
    assert lines[0] == f"mail {mail}"
    assert f"accepted from <{JOE}> to {ANN}, {BOB}, {EVE}, ann@example.org: " in lines[1]
    assert "by smtp 127.0.0.1 (client.example)" in lines[1]
    assert f"  bounce {bounce}" in lines
    assert NO in "".join(lines)

    log = platform.ok("log", "--qmail", "-n", "1000")
    msg = str(number(mail))
    assert re.search(rf"^\d+\.\d{{6}} new msg {msg}$", log, flags=re.M)
    info = rf"info msg {msg}: bytes \d+ from <joe@example.org> qp {msg} uid 1$"
    assert re.search(info, log, flags=re.M)
    assert f"bounce msg {msg} qp {number(bounce)}" in log
    for address, outcome in ((ANN, "success"), (BOB, "failure"), (EVE, "deferral")):
        begun = re.search(rf"starting delivery (\d+): msg {msg} to remote {address}$", log, re.M)
        assert begun, address
        assert re.search(rf"delivery {begun[1]}: {outcome}: \S+/$", log, re.M), address
    assert "451_4.7.1_greylisted,_come_back_later/" in log
    assert f"end msg {msg}" not in log, "eve still waits"
    assert f"end msg {number(bounce)}" in log


def test_a_local_delivery_is_told_from_smtp_to_its_end(platform: Platform) -> None:
    mail = sent(platform, JOE)
    accepted, attempt = told(platform, mail, (mail, "attempt"))
    assert (accepted["by"].partition("/")[0], attempt["by"].partition("/")[0]) == ("smtpd", "local")
    assert (attempt["state"], attempt["group"], attempt["seconds"] > 0) == ("done", False, True)
    log = platform.ok("log", "--qmail", "-n", "1000")
    assert re.search(rf"end msg {number(mail)}$", log, re.M)
    assert mail in platform.ok("log", "-n", "1000")


def test_an_unknown_mail_is_one_line(platform: Platform) -> None:
    done = platform.command("trace", "0" * 23)
    assert (done.returncode, done.stdout) == (1, b"")
    assert (
        done.stderr.decode() == f"tubepost: nothing is known of a mail {'0' * 23}, or no longer\n"
    )


def test_following_shows_a_mail_as_it_comes(platform: Platform) -> None:
    before = sent(platform, JOE)
    told(platform, before, (before, "attempt"))
    command = [TUBEPOST, "log", "-f", "-n", "1", "--json", "--data", str(platform.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        try:
            assert json.loads(following.stdout.readline())["mail"] == before
            mail = sent(platform, JOE)
            accepted, attempt = [json.loads(following.stdout.readline()) for _ in range(2)]
        finally:
            following.terminate()
    assert (accepted["mail"], accepted["event"]) == (mail, "accepted")
    assert (attempt["mail"], attempt["event"]) == (mail, "attempt")
