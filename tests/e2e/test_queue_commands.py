"""`tubepost queue ...`, `qread` with filters and `qstat --json` on a whole platform."""

import getpass
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.platform import TUBEPOST, NewPlatform, Platform, until
from tests.e2e.sink import Sink, listening

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

JOE = "joe@example.org"
LATER = "451 4.7.1 come back later"
HELLO = "Subject: hello\r\n\r\nHi.\r\n"


@pytest.fixture(scope="module")
def far() -> Iterator[Sink]:
    """Another host, for the whole module."""
    with listening() as sink:
        yield sink


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, far: Sink) -> Iterator[Platform]:
    """A platform of its own: its queue is not always empty."""
    platform = Platform(tmp_path_factory.mktemp("queue") / "data", "--processes")
    try:
        platform.start().with_accounts("joe", "postmaster")
        domains = ("far.example", "other.example")
        platform.ok("control", "set", "rcpthosts", *domains)
        platform.ok("control", "set", "smtproutes", *(far.route(domain) for domain in domains))
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.fixture
def platform(running: Platform, far: Sink) -> Iterator[Platform]:
    """Its queue is empty before and after; `bob` and `ben` are always told to come back later."""
    far.answers.update({"bob": LATER, "ben": LATER})
    far.mails.clear()
    yield running
    with http(running) as client:
        for pause in client.get("/pauses").json():
            client.delete(f"/pauses/{pause['what']}")

        def emptied() -> bool:
            """What comes while it is emptied, such as a bounce, goes the next time."""
            cursor = ""
            while cursor is not None:
                everything = {"all": "true", "cursor": cursor}
                cursor = client.post("/queue/delete", params=everything).json()["next"]
            return bool(client.get("/queue/counts").json()["messages"] == 0)

        until(emptied, 20, "the empty queue")


def http(platform: Platform) -> httpx.Client:
    """A client of /v1: for what is asked again and again, a command would take too long."""
    host, port = platform.addresses["admin"]
    token = {"Authorization": f"Bearer {(platform.data / 'token').read_text().strip()}"}
    return httpx.Client(base_url=f"http://{host}:{port}/v1", headers=token, timeout=30)


def sent(platform: Platform, *to: str, sender: str = JOE, text: str = HELLO) -> str:
    """A mail in the queue; its id."""
    query = {"sender": sender, "recipient": to}
    headers = {"Content-Type": "message/rfc822"}
    with http(platform) as client:
        done = client.post("/messages", params=query, content=text.encode(), headers=headers)
    return str(done.raise_for_status().json()["id"])


def shown(platform: Platform, mail_id: str) -> dict[str, Any]:
    with http(platform) as client:
        mail: dict[str, Any] = client.get(f"/queue/{mail_id}").raise_for_status().json()
    return mail


def unit(platform: Platform, mail_id: str) -> dict[str, Any]:
    """The only unit of a mail."""
    [found] = shown(platform, mail_id)["units"]
    return dict(found)


def deferred(platform: Platform, *to: str, attempts: int = 1, sender: str = JOE) -> str:
    """A mail that has been tried and waits."""
    mail_id = sent(platform, *to, sender=sender)
    waits(platform, mail_id, attempts)
    return mail_id


def waits(platform: Platform, mail_id: str, attempts: int) -> None:
    """Returns once it has been tried so often."""
    until(lambda: unit(platform, mail_id)["attempts"] == attempts, 20, f"attempt {attempts}")


def refused(platform: Platform, *args: str, code: int = 1) -> str:
    """The one line on stderr of a command that fails."""
    done = platform.command(*args)
    assert done.returncode == code, done
    [line] = done.stderr.decode().splitlines()
    return line.removeprefix("tubepost: ")


def test_show(platform: Platform) -> None:
    mail_id = deferred(platform, "bob@far.example")
    mail = platform.json("queue", "show", mail_id)
    assert mail == shown(platform, mail_id)
    [one] = mail["units"]
    assert (one["channel"], one["destination"], one["stands"]) == (
        "remote",
        "far.example",
        "waiting",
    )
    assert one["next_attempt"] > mail["created"]
    [bob] = one["recipients"]
    assert LATER in bob["reply"]
    assert (bob["status"], bob["kind"], bob["done"]) == ("4.7.1", "greylisted", False)
    lines = platform.ok("queue", "show", f"#{mail_id}").splitlines()
    assert lines[0] == f"#{mail_id}  {mail['size']}  <{JOE}>  pending"
    assert lines[1].startswith("accepted 20")
    assert "unit 0  remote  far.example  pending  waiting" in lines
    assert any(line.startswith("  attempts 1, next try 20") for line in lines)
    assert any(line.startswith("  bob@far.example  waiting  4.7.1 (greylisted) ") for line in lines)
    [listed] = platform.json("qread", "--kind", "greylisted", "--recipient", "bob@far.example")
    assert listed["id"] == mail_id
    assert lines[-1] == "Subject: hello"
    body = platform.command("queue", "show", mail_id, "--body").stdout
    assert body.startswith(b"Received: ")
    assert body.endswith(HELLO.encode())
    assert len(body) == mail["size"]


def test_a_big_mail_comes_through_as_it_is(platform: Platform) -> None:
    text = HELLO + ("x" * 70 + "\r\n") * 30_000
    mail_id = sent(platform, "bob@far.example", text=text)
    body = platform.command("queue", "show", mail_id, "--body").stdout
    assert body.endswith(text.encode())
    assert shown(platform, mail_id)["headers"].endswith("Subject: hello\n")


def test_a_split_mail(platform: Platform) -> None:
    mail_id = sent(platform, "bob@far.example", "ben@other.example")
    until(lambda: len(shown(platform, mail_id)["units"]) == 3, 20, "the split")
    assert platform.ok("queue", "hold", mail_id).startswith("hold: 2 of 2 done")
    [mail] = platform.json("qread", "--domain", "other.example")
    assert [r["address"] for r in mail["recipients"]] == ["ben@other.example"]
    assert platform.ok("queue", "delete", mail_id) == "delete: 2 of 2 done\n"
    platform.wait_for_empty_queue(20)


def test_hold_and_release(platform: Platform, far: Sink) -> None:
    mail_id = deferred(platform, "bob@far.example")
    hold = ("queue", "hold", mail_id, "--reason", "looks like spam", "--actor", "kim")
    assert platform.ok(*hold) == "hold: 1 of 1 done\n"
    one = unit(platform, mail_id)
    assert (one["state"], one["stands"]) == ("held", "held")
    assert (one["note"]["by"], one["note"]["why"]) == ("kim", "looks like spam")
    assert any(
        line.startswith("  by kim, 20") and line.endswith(": looks like spam")
        for line in platform.ok("queue", "show", mail_id).splitlines()
    )
    why = refused(platform, *hold)
    assert why == f"nothing changed: #{mail_id}: it is held already"
    assert platform.ok("queue", "flush", "--all") == "flush: 0 of 1 done\n"
    far.answers.pop("bob")
    assert platform.ok("queue", "release", mail_id) == "release: 1 of 1 done\n"
    far.wait_for(1, 20)
    platform.wait_for_empty_queue(20)


def test_flush(platform: Platform, far: Sink) -> None:
    first = deferred(platform, "bob@far.example")
    assert platform.ok("queue", "flush", first) == "flush: 1 of 1 done\n"
    waits(platform, first, 2)
    mail = shown(platform, first)
    assert mail["units"][0]["next_attempt"] >= mail["created"] + 400, "the schedule goes on"
    deferred(platform, "ben@other.example")
    far.answers.clear()
    assert platform.ok("queue", "flush", "--domain", "far.example") == "flush: 1 of 1 done\n"
    [received] = far.wait_for(1, 20)
    assert received.recipients == ("bob@far.example",)
    assert platform.json("queue", "flush", "--all")["changed"] == 1
    far.wait_for(2, 20)


def test_bounce(platform: Platform) -> None:
    mail_id = deferred(platform, "bob@far.example")
    before = set(platform.maildir(JOE))
    assert platform.ok("queue", "bounce", mail_id, "--reason", "secret") == "bounce: 1 of 1 done\n"
    until(lambda: set(platform.maildir(JOE)) > before, 20, "the bounce")
    [file] = set(platform.maildir(JOE)) - before
    text = file.read_text()
    assert "<bob@far.example>:" in text
    assert "This message was given up by hand." in text
    assert "secret" not in text


def test_delete(platform: Platform, far: Sink) -> None:
    mail_id = deferred(platform, "bob@far.example")
    assert platform.ok("queue", "delete", mail_id) == "delete: 1 of 1 done\n"
    platform.wait_for_empty_queue(20)
    assert refused(platform, "queue", "show", mail_id).startswith(f"there is no mail '{mail_id}'")
    assert far.mails == []


def test_rejuvenate(platform: Platform) -> None:
    mail_id = deferred(platform, "bob@far.example")
    before = unit(platform, mail_id)
    assert platform.ok("queue", "rejuvenate", mail_id) == "rejuvenate: 1 of 1 done\n"
    until(
        lambda: (now := unit(platform, mail_id))["attempts"] == 1 and now["born"] > before["born"],
        20,
        "another first attempt",
    )


def test_many_by_a_filter(platform: Platform) -> None:
    for sender in ("ann@example.net", "ann@example.net", JOE):
        deferred(platform, "bob@far.example", sender=sender)
    hold = platform.json("queue", "hold", "--sender", "@example.net", "--error", "come back")
    assert (hold["matched"], hold["changed"], hold["unchanged"]) == (2, 2, [])
    states = [mail["state"] for mail in platform.json("qread")]
    assert states == ["held", "held", "pending"]
    assert len(platform.json("qread", "--state", "held", "--older", "0.01")) == 2
    assert platform.json("qread", "--newer", "0.01") == []
    assert len(platform.json("qread", "--attempts", "1", "--limit", "2")) == 2
    assert platform.ok("queue", "delete", "--state", "held") == "delete: 2 of 2 done\n"
    [left] = platform.json("qread")
    assert left["sender"] == JOE


def test_qread_in_a_pipe(platform: Platform) -> None:
    deferred(platform, "bob@far.example")
    script = f"{TUBEPOST} qread --data {platform.data} | grep remote | grep -v done"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert done.stdout == b"\tremote\tbob@far.example\n"


def test_a_pause_of_a_destination(platform: Platform, far: Sink) -> None:
    pause = ("queue", "pause", "Far.Example", "--reason", "repairs", "--actor", "kim")
    assert platform.ok(*pause) == "paused far.example\n"
    paused = sent(platform, "ann@far.example")
    sent(platform, "ann@other.example")
    [mail] = far.wait_for(1, 20)
    assert mail.recipients == ("ann@other.example",)
    one = unit(platform, paused)
    assert (one["attempts"], one["stands"]) == (0, "paused")
    [line] = platform.ok("queue", "pauses").splitlines()
    assert line.startswith("far.example\tby kim\tsince 20")
    assert line.endswith("\trepairs")
    assert [p["what"] for p in platform.json("qstat")["pauses"]] == ["far.example"]
    assert platform.ok("queue", "resume", "far.example") == "resumed far.example\n"
    far.wait_for(2, 20)


def test_pauses_of_channels_and_of_everything(platform: Platform, far: Sink) -> None:
    assert platform.ok("queue", "pause", "all", "local").splitlines() == [
        "paused all",
        "paused local",
    ]
    before = set(platform.maildir(JOE))
    ids = [sent(platform, address) for address in (JOE, "ann@far.example")]
    assert [unit(platform, mail_id)["stands"] for mail_id in ids] == ["paused", "paused"]
    assert platform.ok("queue", "resume", "all") == "resumed all\nstill paused: local\n"
    far.wait_for(1, 20)
    assert unit(platform, ids[0])["stands"] == "paused"
    platform.ok("queue", "resume", "local")
    until(lambda: set(platform.maildir(JOE)) > before, 20, "the delivery")


def test_a_pause_survives_a_kill(new_platform: NewPlatform, sink: Sink) -> None:
    platform = new_platform().start()
    platform.ok("control", "set", "smtproutes", sink.route("far.example"))
    platform.ok("queue", "pause", "remote")
    mail_id = sent(platform, "ann@far.example")
    platform.kill9()
    platform.start()
    until(lambda: unit(platform, mail_id)["stands"] == "paused", 20, "the shard's new owner")
    assert sink.mails == []
    platform.ok("queue", "resume", "remote")
    sink.wait_for(1, 20)
    assert platform.stop() == 0


def test_destinations(platform: Platform) -> None:
    platform.ok("queue", "pause", "far.example")
    sent(platform, "ann@far.example")
    assert isinstance(platform.json("queue", "destinations"), list)
    assert platform.ok("queue", "reset", "Far.Example") == "reset far.example\n"
    assert refused(platform, "queue", "reset", "two words") == "'two words' is not a domain name"


def test_qstat_has_more_in_json(platform: Platform) -> None:
    deferred(platform, "bob@far.example")
    found = platform.json("qstat")
    assert (found["messages"], found["unprocessed"], found["states"]["pending"]) == (1, 0, 1)
    assert found["channels"]["remote"]["slots"] > 0
    assert found["oldest"] > 1_700_000_000
    assert platform.ok("qstat").splitlines() == [
        "messages in queue: 1",
        "messages in queue but not yet preprocessed: 0",
    ]


@pytest.mark.parametrize("name", ["kim", ""])
def test_who_did_it_is_noted_without_being_told(platform: Platform, name: str) -> None:
    mail_id = deferred(platform, "bob@far.example")
    subprocess.run(
        [TUBEPOST, "queue", "hold", mail_id, "--data", str(platform.data)],
        env={**os.environ, "TUBEPOST_ACTOR": name},
        check=True,
        capture_output=True,
    )
    assert unit(platform, mail_id)["note"]["by"] == (name or getpass.getuser())
    logged = [json.loads(line) for line in platform.log.read_text().splitlines() if mail_id in line]
    [action] = [line for line in logged if line["event"] == "queue.action"]
    assert (action["action"], action["mail_id"]) == ("hold", mail_id)


UNKNOWN = "there is no mail '0' in the queue; see: tubepost qread"


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        ("show 0", 1, UNKNOWN),
        ("show 0 --body", 1, UNKNOWN),
        ("show", 2, "Missing argument 'ID'"),
        ("delete 0", 1, UNKNOWN),
        ("hold", 2, "say which mails to hold: ids, or a filter such as --domain far.example, or"),
        ("hold 0 --all", 2, "say which mails to hold: ids, or a filter"),
        ("hold 0 --state held", 2, "say which mails to hold: ids, or a filter"),
        ("delete --all", 2, "delete --all is for every mail in the queue; if you mean it, add"),
        ("delete --older 0", 1, "this is for every mail in the queue: give a filter, or all=true"),
        ("delete --state gone", 1, "query.state: Input should be"),
        ("delete --older soon", 2, "Invalid value for '--older': Input should be a valid number"),
        ("pause", 2, "Missing argument"),
        ("pause no_dot..", 1, "'no_dot..' is not a domain name"),
        ("resume far.example", 1, "far.example is not paused; see: tubepost queue pauses"),
        ("fly", 2, "No such command 'fly'."),
    ],
)
def test_errors_are_one_line(running: Platform, args: str, code: int, why: str) -> None:
    assert refused(running, "queue", *args.split(), code=code).startswith(why)


def test_one_unknown_id_among_others_stops_nothing(platform: Platform) -> None:
    mail_id = deferred(platform, "bob@far.example")
    lines = platform.ok("queue", "hold", "0", mail_id).splitlines()
    assert lines == ["hold: 1 of 1 done", f"  #0 unit -: {UNKNOWN}"]
