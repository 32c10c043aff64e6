"""`tubepost log` and `trace` against an HTTP server that answers as the scheduler does."""

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ctl import log_commands, main
from tests.ctl import lives
from tests.ctl.lives import ONE

LIFE = sorted(lives.FAILURE, key=lambda event: float(event["at"]))


class Scheduler(http.server.BaseHTTPRequestHandler):
    """/v1/events over LIFE, and the two limits."""

    server: "Server"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.asked.append(query)
        status, answer = self._answer(url.path, query)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/v1/control/concurrencylocal":
            return 200, {"lines": ["7"]}
        if path == "/v1/control/concurrencyremote":
            return 200, {"lines": None}
        if query.get("mail", ONE) != ONE:
            return 404, {"detail": f"nothing is known of a mail {query['mail']}"}
        if "mail" in query:
            return 200, {"events": LIFE}
        if len(self.server.asked) > self.server.answers:
            return 503, {"detail": "enough"}
        last, limit = int(query.get("last", 1000)), int(query.get("limit", 1000))
        begin = int(query.get("after", max(0, len(LIFE) - last)))
        found = LIFE[begin : begin + limit]
        return 200, {"events": found, "next": begin + len(found)}

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(http.server.HTTPServer):
    """On a free port. After `answers` answers it has had enough."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Scheduler)
        self.asked: list[dict[str, str]] = []
        self.answers = 100


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs the command: exit code, lines, what it said on stderr."""
    (tmp_path / "admin").write_text(f"127.0.0.1:{server.server_port}\n")
    (tmp_path / "token").write_text("secret\n")

    def run(*args: str) -> tuple[int, list[str], str]:
        monkeypatch.setattr("sys.argv", ["tubepost", *args, "--data", str(tmp_path)])
        code = main.main()
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def test_the_last_events_are_a_line_each(run: Run) -> None:
    code, lines, _ = run("log")
    assert code == 0
    assert [line.split()[2] for line in lines] == [event["mail"] for event in LIFE]
    _, two, _ = run("log", "-n", "2")
    assert two == lines[-2:]
    assert run("log", "-n", "0")[1] == []


def test_more_than_a_page_is_read_in_pages(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_commands, "PAGE", 2)
    _, lines, _ = run("log", "-n", "5")
    assert len(lines) == 5
    assert [query["limit"] for query in server.asked] == ["2", "2", "1"]


def test_since_reads_to_the_end(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_commands, "PAGE", 4)
    monkeypatch.setattr("time.time", lambda: 10_000.0)
    _, lines, _ = run("log", "--since", "15m", "-n", "1")
    assert len(lines) == len(LIFE)
    assert server.asked[0]["since"] == "9100.0"


def test_json_is_a_document_each_line(run: Run) -> None:
    _, lines, _ = run("log", "--json")
    assert [json.loads(line) for line in lines] == LIFE


def test_qmail_s_lines_have_the_limits_in_force(run: Run) -> None:
    _, lines, _ = run("log", "--qmail")
    golden = (Path(__file__).with_name("golden") / "failure-with-bounce.txt").read_text()
    limits = golden.replace("/10 remote", "/7 remote").replace("/20", "/200")
    assert lines == limits.splitlines()


def test_qmail_s_lines_with_the_times_of_multilog(run: Run) -> None:
    _, lines, _ = run("log", "--qmail", "--tai64n")
    assert all(re.match(r"@40000000[0-9a-f]{16} \w", line) for line in lines)


@pytest.mark.parametrize("how", [(), ("--qmail",), ("--json",)])
def test_following_shows_what_comes_once_and_in_order(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    monkeypatch.setattr(log_commands, "HOLD", 0.0)
    monkeypatch.setattr(log_commands, "HOLD_DELIVERY", 0.0)
    _, all_at_once, _ = run("log", *how)
    server.asked.clear()
    server.answers = 4 + 2 * ("--qmail" in how)
    code, lines, said = run("log", "-f", "-n", "0", *how)
    assert (code, said) == (1, "tubepost: enough\n")
    assert lines == []
    assert server.asked[-2]["after"] == str(len(LIFE))
    assert float(server.asked[-2]["wait"]) == log_commands.WAIT
    monkeypatch.setattr(log_commands, "_read_past", lambda *_: 0)
    server.asked.clear()
    assert run("log", "-f", *how)[1] == all_at_once


def test_trace_prints_a_life(run: Run) -> None:
    code, lines, _ = run("trace", ONE)
    assert code == 0
    assert lines[0] == f"mail {ONE}"
    assert lines[5] == f"  bounce {ONE}b0a1"
    assert len(lines) == len(LIFE) + 2


def test_trace_as_json(run: Run) -> None:
    _, lines, _ = run("trace", ONE, "--json")
    assert json.loads("\n".join(lines)) == LIFE


def test_trace_of_an_unknown_mail_is_one_line(run: Run) -> None:
    assert run("trace", "x") == (1, [], "tubepost: nothing is known of a mail x\n")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--json", "--qmail"), "choose one of --json and --qmail"),
        (("--tai64n",), "--tai64n goes with --qmail"),
        (("--since", "1x"), "'1x' is no time: write 90s, 15m, 2h or 7d"),
        (("-n", "-1"), "Invalid value for '-n': Input should be greater than or equal to 0"),
    ],
)
def test_wrong_use_is_one_line(run: Run, args: tuple[str, ...], why: str) -> None:
    assert run("log", *args) == (2, [], f"tubepost: {why}\n")
