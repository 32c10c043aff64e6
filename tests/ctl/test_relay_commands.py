"""`tubepost relay` against an HTTP server that answers as the platform does."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctl import main

SINCE, UNTIL = "2023-11-14T22:13:20Z", "2023-11-15T01:13:20Z"
ENTRY = {
    "ip": "8.8.4.4",
    "user": "bob@example.net",
    "at": 1_700_000_000.0,
    "until": 1_700_010_800.0,
    "by": "pop-1",
    "users": {"ann@example.net": 1_699_999_000.0, "bob@example.net": 1_700_000_000.0},
    "warned": 0.0,
}
REFUSED = {
    "ip": "192.0.2.7",
    "rule": {"line": "", "allow": True},
    "relay_list": None,
    "list_is_used": True,
    "recipient": {
        "address": "joe@example.org",
        "local": False,
        "mailbox": False,
        "in_rcpthosts": False,
        "relayed": False,
    },
    "policies": [
        {"at": "connect", "policy": "denied_by_rule", "verdict": "", "reply": ""},
        {"at": "RCPT", "policy": "not_relayed", "verdict": "rcpthosts", "reply": "553 no (#5.7.1)"},
    ],
    "accepted": False,
    "sentence": "192.0.2.7 may not send to joe@example.org, refused at RCPT: 553 no (#5.7.1)",
}
TAKEN = {
    **REFUSED,
    "rule": {"line": '192.0.2.:allow,RELAYCLIENT=""', "allow": True},
    "relay_list": ENTRY,
    "recipient": None,
    "policies": REFUSED["policies"][:1],  # type: ignore[index]
    "accepted": True,
    "sentence": "192.0.2.7 may connect",
}


class Platform(http.server.BaseHTTPRequestHandler):
    """/v1/relay and /v1/smtp/check."""

    def do_GET(self) -> None:
        answer: Any = [ENTRY] if self.path == "/v1/relay" else REFUSED
        if self.path.startswith("/v1/smtp/check") and "example.org" not in self.path:
            answer = TAKEN
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs the command: exit code, lines, what it said on stderr."""
    with http.server.HTTPServer(("127.0.0.1", 0), Platform) as server:
        (tmp_path / "admin").write_text(f"127.0.0.1:{server.server_port}\n")
        (tmp_path / "token").write_text("secret\n")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def run(*args: str) -> tuple[int, list[str], str]:
            monkeypatch.setattr("sys.argv", ["tubepost", "relay", *args, "--data", str(tmp_path)])
            code = main.main()
            said = capsys.readouterr()
            return code, said.out.splitlines(), said.err

        yield run
        server.shutdown()
        thread.join()


def test_who_would_be_refused_is_exit_1(run: Run) -> None:
    code, lines, _ = run("check", "192.0.2.7", "--rcpt", "joe@example.org")
    assert code == 1
    assert lines == [
        "rule\t(none: allow)",
        "relay list\tnone",
        "recipient\tjoe@example.org\tforeign",
        "connect\tdenied_by_rule\tok",
        "RCPT\tnot_relayed\trcpthosts: 553 no (#5.7.1)",
        "192.0.2.7 may not send to joe@example.org, refused at RCPT: 553 no (#5.7.1)",
    ]


def test_who_would_be_accepted_is_exit_0(run: Run) -> None:
    code, lines, _ = run("check", "192.0.2.7")
    assert code == 0
    assert lines == [
        'rule\t192.0.2.:allow,RELAYCLIENT=""',
        f"relay list\tbob@example.net\tsince {SINCE}\tuntil {UNTIL}\tpop-1",
        "connect\tdenied_by_rule\tok",
        "192.0.2.7 may connect",
    ]


def test_json_has_all_of_it_and_the_same_exit_code(run: Run) -> None:
    code, lines, _ = run("check", "192.0.2.7", "--rcpt", "joe@example.org", "--json")
    assert (code, json.loads("\n".join(lines))) == (1, REFUSED)


@pytest.mark.parametrize(
    "args",
    [("192.0.2",), ("host",), ("192.0.2.7", "--rcpt", "joe"), ("192.0.2.7", "--sender", "joe"),
     ("192.0.2.7", "--user", "joe"), ("192.0.2.7", "--fly"), ()],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_2(run: Run, args: tuple[str, ...]) -> None:
    code, lines, said = run("check", *args)
    assert (code, lines) == (2, [])
    assert said.startswith("tubepost: ")
    assert said.count("\n") == 1


def test_the_list_shows_how_many_users_came_from_an_address(run: Run) -> None:
    _, lines, _ = run("list")
    assert lines == ["8.8.4.4\tbob@example.net\tuntil 2023-11-15T01:13:20Z\tpop-1\t2 users"]
    _, lines, _ = run("list", "--json")
    assert json.loads("\n".join(lines)) == [ENTRY]
