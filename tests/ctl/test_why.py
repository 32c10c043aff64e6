"""`tubepost why`: which questions it asks, what it prints, what it makes of answers that lack."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import typer

from ctl.client import Refused
from ctl.why import why
from services.scheduler.served import Trouble
from tests.ctl.canned import Canned, answering
from tubepost.errors import BadInput

STATE = asdict(
    Trouble(
        name="far.example", limit=20, rate=None, window=5, until=0.0, failures=0,
        error="", out=0, waiting=0, paused=False,
    )
)  # fmt: skip
CHANNELS = {"local": {"out": 0, "slots": 10}, "remote": {"out": 0, "slots": 20}}
EMPTY: dict[str, Any] = {
    "state": STATE, "units": 0, "stands": {}, "oldest": None, "next": None, "attempts": 0,
    "replies": [], "channels": CHANNELS, "complete": True,
}  # fmt: skip
PLAN = {
    "step": "plan", "destination": "far.example", "route": None, "relays": [],
    "tls": {"level": "verify", "names": [".far.example"]}, "helo": "me.example", "ips": ["::1"],
    "login": True, "lmtp": False,
}  # fmt: skip
DNS = {
    "step": "dns", "seconds": 0.1,
    "answers": [
        {"name": "far.example", "kind": "MX", "records": ["1 mx."], "trouble": "", "seconds": 0.2},
        {"name": "mx", "kind": "AAAA", "records": [], "trouble": "timed out", "seconds": 5.0},
        {"name": "mx", "kind": "A", "records": [], "trouble": "", "seconds": 0.0},
    ],
}  # fmt: skip
HOST = {"name": "mx", "ip": "192.0.2.1", "port": 25, "preference": 10}
HOSTS = {"step": "hosts", "hosts": [HOST], "left_out": 2, "outcome": None}
GREETED = {
    "step": "host", **HOST, "skipped": "", "connected": True, "greeted": True, "seconds": 0.1,
    "opened": {
        "connected": 0.012, "handshake": 0.03, "tls": "TLSv1.3", "cipher": "AES", "reused": None,
        "certificate": {"names": ["mx", "mx2"], "issuer": "CN=x", "expires": 4e9}, "verified": True,
    },
    "banner": "220 mx", "extensions": {"SIZE": "1000", "STARTTLS": ""}, "error": "", "reply": "",
    "timed_out": False, "rcpt": None,
}  # fmt: skip
END = {"step": "end", "seconds": 0.2, "limit": 25.0}


def ndjson(*steps: dict[str, Any]) -> tuple[int, bytes]:
    return 200, b"".join(json.dumps(step).encode() + b"\n" for step in steps)


def answers() -> dict[str, tuple[int, Any]]:
    return {
        "GET domains": (200, ["example.org"]),
        "GET pauses": (200, []),
        "GET destinations/far.example": (200, EMPTY),
        "GET destinations/example.org": (200, EMPTY),
        "GET probe": ndjson(PLAN, DNS, HOSTS, GREETED, END),
    }


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    with answering(answers()) as server:
        monkeypatch.setenv("TUBEPOST_ADMIN", server.url)
        monkeypatch.setenv("TUBEPOST_TOKEN", "secret")
        yield server


def printed(capsys: pytest.CaptureFixture[str], *, code: int, **options: Any) -> list[str]:
    with pytest.raises(typer.Exit) as ended:
        why(**options)
    assert ended.value.exit_code == code
    return capsys.readouterr().out.splitlines()


def test_every_step_has_its_lines(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, code=0, address="far.example") == [
        "routing     remote: far.example is not one of our domains",
        "queue       nothing",
        "limits      remote deliveries: 0 of 20 slots taken",
        "            to far.example: 0 out, 5 at once now, 20 at most",
        "plan        no line of smtproutes: by MX",
        "            TLS verify (.far.example); as me.example from ::1, with a login",
        "dns         far.example MX: 1 mx.  (200 ms)",
        "            mx AAAA: timed out  (5.0 s)",
        "            mx A: none  (0 ms)",
        "hosts       2 more are not tried, as in a delivery",
        "host        10 mx 192.0.2.1 port 25",
        "              connected in 12 ms",
        "              220 mx",
        "              offers SIZE 1000, STARTTLS",
        "              TLSv1.3 AES, handshake in 30 ms",
        "              certificate for mx, mx2, by CN=x, until 2096-10-02",
        "              the certificate is what the policy demands",
        "",
        "Nothing for far.example waits, and a mail would go: mx (192.0.2.1) greets us.",
    ]
    assert platform.asked[-1] == "GET probe?address=far.example&rcpt=false"


@pytest.mark.parametrize(
    ("opened", "line"),
    [
        ({}, "in the clear, though STARTTLS is offered"),
        ({"in_clear": {"text": "its handshake failed"}}, "in the clear: its handshake failed"),
        ({"tls": "TLSv1.2", "distrust": "self-signed"}, "it would not do for verify: self-signed"),
    ],
)
def test_what_is_known_of_tls(
    platform: Canned, capsys: pytest.CaptureFixture[str], opened: dict[str, Any], line: str
) -> None:
    plain = {"connected": 0.0, "handshake": 0.0, "tls": ""}
    host = GREETED | {"opened": plain | opened}
    platform.answers["GET probe"] = ndjson(PLAN, DNS, HOSTS, host, END)
    assert f"              {line}" in printed(capsys, code=0, address="far.example")


def test_the_recipient_is_asked_about_where_that_is_wished(platform: Canned) -> None:
    with pytest.raises(typer.Exit):
        why(address="Ann@FAR.example", rcpt=True, json=True)
    assert platform.asked[-1] == "GET probe?address=Ann%40far.example&rcpt=true"


def test_what_waits_is_shown_with_what_was_said(
    platform: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = {
        "reply": "451 later", "status": "4.0.0", "recipients": 3, "attempts": 2, "address": "a@x",
    }  # fmt: skip
    first = {"id": "001a", "note": None, "reply": ""}
    queue = EMPTY | {
        "units": 2, "stands": {"waiting": {"units": 2, "first": first}}, "oldest": 1.0,
        "next": 4e9, "attempts": 2, "replies": [reply], "complete": False,
        "state": STATE | {"rate": 0.5, "until": 4e9, "error": "timed out", "site": ".mx.example"},
    }  # fmt: skip
    platform.answers["GET destinations/far.example"] = (200, queue)
    pause = {"what": "far.example", "by": "kim", "why": "", "at": 1.0}
    platform.answers["GET pauses"] = (200, [pause, pause | {"what": "other.example"}])
    lines = printed(capsys, code=1, address="far.example")
    assert lines[1].startswith("paused      far.example, by kim, 1970-01-01T00:00:01Z (")
    assert lines[1].endswith(": no reason given")
    assert lines[2].startswith("queue       2 waiting (of those that were looked at); the oldest ")
    assert lines[3].startswith("            next try 2096-10-02T07:06:40Z (in ")
    assert lines[4] == "            a@x and 2 more, after 2 attempts: 451 later"
    assert lines[6].endswith("5 at once now, 20 at most, 0.5 a second")
    assert lines[7] == "            waits for what all domains with mail hosts of .mx.example share"
    assert lines[8].startswith("            backed off until 2096-10-02T07:06:40Z (in ")
    assert lines[-1] == "far.example is paused by kim; to go on: tubepost queue resume far.example"


def test_a_limit_that_others_share_is_named(
    platform: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    first = {"id": "001a", "note": None, "reply": ""}
    queue = EMPTY | {
        "units": 1, "stands": {"ready": {"units": 1, "first": first}}, "oldest": 1.0,
        "state": STATE | {"site": ".google.com"},
    }  # fmt: skip
    platform.answers["GET destinations/far.example"] = (200, queue)
    lines = printed(capsys, code=0, address="far.example")
    assert "            waits for what all domains with mail hosts of .google.com share" in lines
    assert lines[-1].startswith("1 mail for far.example is due, behind others: what domains with")


def test_json_has_every_answer(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(printed(capsys, code=0, address="far.example", json=True))
    found = json.loads(text)
    assert (found["plan"], found["dns"], found["hosts"], found["tried"]) == (
        PLAN, DNS, HOSTS, [GREETED],
    )  # fmt: skip
    assert found["verdict"]["reason"] == "would_go"


def test_hosts_are_judged_in_the_order_of_a_delivery(
    platform: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    better = HOST | {"ip": "192.0.2.9", "preference": 5}
    hosts = HOSTS | {"hosts": [better, HOST]}
    platform.answers["GET probe"] = ndjson(PLAN, DNS, hosts, GREETED, GREETED | better, END)
    assert "(192.0.2.9)" in printed(capsys, code=0, address="far.example")[-1]


def test_for_a_domain_of_ours_no_host_is_asked(
    platform: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    there: dict[str, Any] = {"address": "joe@example.org", "rule": "account", "exists": True}
    nobody = {"name": "refuse", "text": "Sorry, no mailbox here by that name. (#5.1.1)"}
    nobody = there | {"rule": "nobody", "exists": False, "actions": [nobody]}
    platform.answers["GET resolve/joe@example.org"] = (200, nobody)
    lines = printed(capsys, code=1, address="joe@example.org")
    assert lines[0] == "routing     local: example.org is ours; there is no such mailbox"
    store = {"name": "store", "text": ""}
    platform.answers["GET resolve/joe@example.org"] = (200, there | {"actions": [store]})
    lines = printed(capsys, code=0, address="joe@example.org")
    assert lines[:2] == [
        "routing     local: example.org is ours; the mailbox is there",
        "            rule: account",
    ]
    held = {"name": "wait", "text": "This mailbox is on hold. (#4.2.1)", "status": "4.2.1"}
    held = there | {"rule": "on hold", "actions": [held]}
    platform.answers["GET resolve/joe@example.org"] = (200, held)
    lines = printed(capsys, code=1, address="joe@example.org")
    assert lines[-1] == (
        "joe@example.org takes no mail now (rule 'on hold'): This mailbox is on hold. (#4.2.1)"
    )
    assert not any("probe" in path for path in platform.asked)


def test_a_remembered_refusal(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"address": "ann@far.example", "until": 4e9, "reply": "550 5.1.1 who?"}
    platform.answers["GET suppressions/ann@far.example"] = (200, entry)
    platform.answers["GET suppressions"] = (200, {"suppressions": [entry], "seconds": 0})
    assert printed(capsys, code=0, address="ann@far.example")[1] == "queue       nothing"
    platform.answers["GET suppressions"] = (200, {"suppressions": [entry], "seconds": 60})
    lines = printed(capsys, code=1, address="ann@far.example")
    assert lines[1] == "            remembered as refused for good: 550 5.1.1 who?"
    assert "was refused for good not long ago (550 5.1.1 who?)" in lines[-1]


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("domains", "popauth"),
        ("pauses", "scheduler"),
        ("destinations/far.example", "scheduler"),
        ("probe", "remote"),
    ],
)
@pytest.mark.parametrize("status", [503, 404])
def test_a_service_that_is_away_is_a_fact(
    platform: Canned,
    capsys: pytest.CaptureFixture[str],
    path: str,
    service: str,
    status: int,
) -> None:
    platform.answers[f"GET {path}"] = (status, {"detail": "nobody there"})
    lines = printed(capsys, code=1, address="far.example")
    assert lines[-1].startswith(f"{service} does not answer (nobody there): ")


def test_a_token_that_is_refused_is_no_fact_about_a_mail(platform: Canned) -> None:
    platform.answers["GET domains"] = (401, {"detail": "give the admin token"})
    with pytest.raises(Refused, match="give the admin token"):
        why(address="far.example")


def test_one_mail(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    recipients = [
        {"address": "a@far.example", "reply": "451 later", "status": "4.0.0", "done": False},
        {"address": "b@far.example", "reply": "250 ok", "status": "2.0.0", "done": True},
    ]
    far = {
        "unit": "0", "destination": "far.example", "state": "pending", "stands": "waiting",
        "attempts": 3, "next_attempt": 4e9, "note": None, "recipients": recipients,
    }  # fmt: skip
    other = far | {"unit": "1", "destination": "other.example", "stands": "held"}
    mail = {"id": "001a", "created": 1.0, "units": [far, other]}
    platform.answers["GET queue/001a"] = (200, mail)
    lines = printed(capsys, code=0, address="far.example", mail="#001a")
    assert lines[1].startswith("queue       1 waiting; the oldest accepted 1970-01-01")
    assert lines[3] == "            a@far.example, after 3 attempts: 451 later"
    assert lines[-1].endswith("; to try at once: tubepost queue flush 001a")
    lines = printed(capsys, code=1, address="far.example", mail="002b")
    assert lines[1] == "queue       mail 002b is not in the queue for far.example"
    assert lines[-1].endswith("what became of it: tubepost trace 002b")


@pytest.mark.parametrize("text", ["two words", "@far.example", "a@b@"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(BadInput):
        why(address=text)
