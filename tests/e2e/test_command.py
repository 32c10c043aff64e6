"""The command: what it prints, its exit codes, one line for every error and never a traceback."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.platform import LISTENERS, PASSWORD, TUBEPOST, NewPlatform, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SECRET = PASSWORD.encode() + b"\n"
SEND = ("send", "-", "--from", "")


def refused(platform: Platform, *args: str, stdin: bytes = b"", code: int = 1) -> str:
    """The one line of a command that fails."""
    done = platform.command(*args, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, b""), done
    return the_line(done.stderr)


def the_line(stderr: bytes) -> str:
    [line] = stderr.decode().splitlines()
    assert line.startswith("tubepost: ")
    return line.removeprefix("tubepost: ")


def test_domains_and_accounts_come_and_go(shared: Platform) -> None:
    assert shared.ok("domain", "add", "New.Example") == "added new.example\n"
    assert shared.ok("domain", "list").splitlines() == ["example.org", "new.example"]
    assert shared.json("domain", "list") == ["example.org", "new.example"]
    add = ("account", "add", "Bob@new.example", "--password-stdin")
    assert shared.ok(*add, stdin=SECRET) == "added bob@new.example\n"
    assert shared.ok("account", "list", "new.example") == "bob@new.example\n"
    assert shared.json("account", "list", "new.example") == ["bob@new.example"]
    assert refused(shared, *add, stdin=SECRET) == (
        "bob@new.example is there already, as an account; use passwd to change its password"
    )
    passwd = ("account", "passwd", "bob@new.example", "--password-stdin")
    assert shared.ok(*passwd, stdin=b"another one\n") == "changed the password of bob@new.example\n"
    assert shared.ok(*passwd, "--reversible", stdin=b"another one\n").startswith("changed ")
    rights = ("account", "set", "bob@new.example")
    assert shared.ok(*rights, "--no-smtp") == "bob@new.example: no_smtp\n"
    assert shared.ok(*rights, "--smtp") == "bob@new.example: may do everything\n"
    assert refused(shared, *rights, code=2).startswith("say what to set")
    left = "new.example has 1 account"
    assert refused(shared, "domain", "remove", "new.example").startswith(left)
    assert shared.ok("account", "remove", "bob@new.example") == "removed bob@new.example\n"
    assert shared.ok("domain", "remove", "new.example") == "removed new.example\n"
    assert shared.ok("domain", "list") == "example.org\n"


def test_what_an_address_stands_for_and_who_made_it_so(shared: Platform) -> None:
    sales, owner = "sales@example.org", ("--actor", "kim")
    shared.ok("alias", "add", sales, "ann@far.example", *owner)
    assert shared.ok("resolve", sales).splitlines()[1:] == ["forward ann@far.example"]
    [made] = shared.json("history", sales)
    assert (made["actor"], made["what"]) == ("kim", sales)
    shared.ok("alias", "remove", sales)
    assert shared.command("resolve", sales).returncode == 1


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("domain", "add", "example.org"), "example.org is there already"),
        (("domain", "add", "no_dot"), "no_dot cannot be a mail domain here; give one like"),
        (("domain", "add", "two words"), "'two words' is not a domain name"),
        (("domain", "remove", "nowhere.example"), "there is no domain nowhere.example; add it"),
        (("account", "remove", "nobody@example.org"), "there is no account nobody@example.org"),
        (("account", "remove", "no-at-sign"), "'no-at-sign' has no @; write user@domain"),
        (("account", "remove", "a/b@example.org"), "there is no account a/b@example.org"),
        (("control", "get", "nothing"), "there is no control setting 'nothing'; see: tubepost"),
        (("control", "set", "databytes", "many"), "databytes: 'many' is not a number from 0 to"),
        (("control", "set", "smtproutes", "x"), "smtproutes: smtproutes: 'x': write domain:relay"),
        ((*SEND[:3], "x", "--to", "joe@example.org"), "'x' has no @; write user@domain"),
        ((*SEND, "--to", "x"), "'x' has no @; write user@domain"),
        ((*SEND, "--to", "joe@example.org"), "the mail is empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "refused",
)
def test_what_the_platform_refuses_is_said_in_one_line(
    shared: Platform, args: tuple[str, ...], why: str
) -> None:
    assert refused(shared, *args).startswith(why)


def test_routes_with_a_password_come_by_standard_input(shared: Platform) -> None:
    given = ("control", "set", "smtproutes")
    assert shared.ok(*given, "--stdin", stdin=b"a.example:b.example|joe|a b\n# old\n") == (
        "smtproutes: a.example:b.example|joe|a b\nsmtproutes: # old\n"
    )
    why = refused(shared, *given, "--stdin", stdin=b"a.example:10.0.0.1|joe|secret\n")
    assert "secret" not in why
    assert "name=" in why
    assert refused(shared, *given, code=2) == "give the value, or --stdin"
    assert refused(shared, *given, "x", "--stdin", code=2) == "give the value, or --stdin"
    assert shared.ok("control", "unset", "smtproutes").startswith("smtproutes: (Default.) ")


@pytest.mark.parametrize("password", [b"short\n", b"x" * 300 + b"\n", b"\n"])
def test_a_bad_password_is_refused(shared: Platform, password: bytes) -> None:
    add = ("account", "add", "bob@example.org", "--password-stdin")
    assert refused(shared, *add, stdin=password) == "a password has 8 to 255 characters"


def test_a_password_is_not_asked_for_where_nobody_can_type_it(shared: Platform) -> None:
    why = refused(shared, "account", "add", "bob@example.org", code=2)
    assert why == "standard input is not a terminal: use --password-stdin"


def test_a_setting_is_set_shown_and_put_back(shared: Platform) -> None:
    assert shared.ok("control", "get", "badmailfrom") == "(Default.)\n"
    entries = ("spam@far.example", "@bad.example")
    shown = "".join(f"badmailfrom: {entry}\n" for entry in entries)
    assert shared.ok("control", "set", "badmailfrom", *entries) == shown
    assert shared.ok("control", "get", "badmailfrom") == "spam@far.example\n@bad.example\n"
    assert shared.json("control", "get", "badmailfrom")["lines"] == list(entries)
    why = refused(shared, "control", "set", "badmailfrom", "not an address")
    assert why.endswith("; the old value is kept")
    assert shown in shared.ok("control", "list")
    assert shared.ok("control", "unset", "badmailfrom").startswith("badmailfrom: (Default.) ")


def test_the_queue_is_shown_in_qmail_s_words(shared: Platform) -> None:
    shared.ok("control", "set", "concurrencylocal", "0")
    try:
        text = b"Subject: x\n\nHi.\n"
        mail_id = shared.ok(
            "send", "-", "--from", "ann@far.example", "--to", "joe@example.org", stdin=text
        ).strip()
        counts = ["messages in queue: 1", "messages in queue but not yet preprocessed: 0"]
        assert shared.ok("qstat").splitlines() == counts
        found = shared.json("qstat")
        assert (found["messages"], found["unprocessed"]) == (1, 0)
        first, second = shared.ok("qread").splitlines()
        [mail] = shared.json("qread")
        assert first.endswith(f" GMT  #{mail_id}  {mail['size']}  <ann@far.example>")
        assert second == "\tlocal\tjoe@example.org"
        assert mail["id"] == mail_id
    finally:
        shared.ok("control", "unset", "concurrencylocal")
    shared.wait_for_empty_queue(20)
    assert shared.ok("qread") == ""
    assert shared.json("qread") == []


def test_the_relay_list_is_empty_without_logins_that_may_be_listed(shared: Platform) -> None:
    assert shared.ok("relay", "list") == ""
    assert shared.json("relay", "list") == []


def test_a_recipient_is_suppressed_and_tried_again(shared: Platform) -> None:
    off = "tubepost: the setting suppress is 0: every mail is tried, whatever stands here\n"
    add = ("suppression", "add", "Ann@Far.Example", "--days", "1", "--reason", "asked us")
    done = shared.command(*add)
    assert (done.returncode, done.stderr.decode()) == (0, off)
    shared.ok("control", "set", "suppress", "86400")
    assert shared.ok(*add) == shared.ok("suppression", "show", "ann@far.example")
    [held] = shared.json("suppression", "list", "--domain", "far.example")
    assert (held["address"], held["reply"], held["mail_id"]) == ("Ann@far.example", "asked us", "")
    assert shared.ok("suppression", "remove", "ann@far.example") == ""
    assert shared.ok("suppression", "list") == ""
    why = refused(shared, "suppression", "show", "ann@far.example")
    assert why == "ann@far.example is not suppressed; see: tubepost suppression list"
    shared.ok("suppression", "add", "bob@far.example")
    assert shared.ok("suppression", "clear", "--all") == "removed: 1\n"
    shared.ok("control", "set", "suppress", "0")


@pytest.mark.parametrize(
    "args",
    [
        ("nothing",),
        ("domain", "nothing"),
        ("domain", "add"),
        ("qstat", "--nothing"),
        ("up", "--smtp"),
        ("up", "--shards", "0"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_and_2(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = subprocess.run([TUBEPOST, *args], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert the_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "mode"),
    [
        *((option, ()) for option in (*LISTENERS, "admin")),
        ("smtp", ("--processes",)),
    ],
)
def test_a_listen_address_that_is_none_is_one_line_and_2(
    tmp_path: Path, option: str, mode: tuple[str, ...]
) -> None:
    command = [TUBEPOST, "up", "--data", str(tmp_path / "data"), f"--{option}", "nonsense", *mode]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    assert b"'nonsense' is not HOST:PORT" in done.stderr


@pytest.mark.parametrize("mode", [(), ("--processes",)], ids=["one", "five"])
def test_a_port_in_use_is_said_and_1(
    shared: Platform, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    host, port = shared.addresses["smtp"]
    command = [TUBEPOST, "up", "--data", str(tmp_path / "data"), *mode]
    free = [f"--{name}=127.0.0.1:0" for name in (*LISTENERS[1:], "admin")]
    done = subprocess.run(
        [*command, *free, f"--smtp={host}:{port}"], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"('{host}', {port}): address already in use" in done.stderr.decode()
    assert done.stderr.decode().splitlines()[-1].startswith("tubepost: ")
    assert b"Traceback" not in done.stderr


def test_a_platform_that_has_stopped_is_said(new_platform: NewPlatform) -> None:
    platform = new_platform()
    assert refused(platform, "qstat", code=2).startswith(f"no tubepost has run on {platform.data}")
    platform.start()
    assert platform.ok("qstat").startswith("messages in queue: 0\n")
    assert platform.stop() == 0
    why = refused(platform, "qstat")
    assert "does not answer" in why
    assert why.endswith("is `tubepost up` running?")


def test_a_wrong_token_is_said(shared: Platform, tmp_path: Path) -> None:
    host, port = shared.addresses["admin"]
    where = {"TUBEPOST_ADMIN": f"http://{host}:{port}", "TUBEPOST_TOKEN": "wrong"}
    done = subprocess.run(
        [TUBEPOST, "qstat"],
        env={**os.environ, **where},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert the_line(done.stderr).startswith("give the admin token as")


def test_output_that_nobody_reads_ends_quietly(shared: Platform) -> None:
    """`tubepost control list | head -0`"""
    reading, writing = os.pipe()
    os.close(reading)
    command = [TUBEPOST, "control", "list", "--data", str(shared.data)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert b"Traceback" not in done.stderr
    assert done.returncode != 0


def test_json_is_json_wherever_it_is_offered(shared: Platform) -> None:
    for command in ("domain list", "account list", "control list", "relay list", "qstat", "qread"):
        assert json.loads(shared.ok(*command.split(), "--json")) is not None
