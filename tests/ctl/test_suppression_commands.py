"""`tubepost suppression` against an HTTP server that answers as the platform does."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from ctl import main

ANN = {
    "address": "ann@far.example",
    "until": 1_700_604_800.0,
    "at": 1_700_000_000.0,
    "status": "5.1.1",
    "reply": "550 5.1.1 no such user",
    "mail_id": "018bcfe5",
}
BOB = {**ANN, "address": "bob@far.example", "mail_id": "", "reply": "asked us"}
ANN_LINE = (
    "ann@far.example\tsince 2023-11-14T22:13:20Z\tuntil 2023-11-21T22:13:20Z\t018bcfe5\t"
    "550 5.1.1 no such user"
)
BOB_LINE = "bob@far.example\tsince 2023-11-14T22:13:20Z\tuntil 2023-11-21T22:13:20Z\t-\tasked us"


class Platform(http.server.BaseHTTPRequestHandler):
    """/v1/suppressions, in two pages. `asked`: what came, as (method, path, body)."""

    asked: list[tuple[str, str, Any]]
    seconds: int

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        self.asked.append(("GET", path, query))
        if path == "/v1/suppressions":
            second = query.get("after") == ["7"]
            held, after = ([BOB], None) if second else ([ANN], 7)
            self._say(200, {"suppressions": held, "next": after, "seconds": self.seconds})
        elif path == "/v1/suppressions/ann@far.example":
            self._say(200, ANN)
        else:
            self._say(404, {"detail": "not suppressed"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(("POST", self.path, body))
        if self.path.endswith("/clear"):
            last = body["cursor"] > 0
            self._say(200, {"removed": 1 if last else 500, "next": None if last else 9})
        else:
            self._say(201, BOB)

    def do_DELETE(self) -> None:
        self.asked.append(("DELETE", unquote(self.path), None))
        self._say(204, None)

    def _say(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode() if answer else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def platform() -> type[Platform]:
    class One(Platform):
        asked: list[tuple[str, str, Any]] = []  # noqa: RUF012 - a class for each test
        seconds = 3600

    return One


@pytest.fixture
def run(
    platform: type[Platform],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Runs the command: exit code, lines, what it said on stderr."""
    with http.server.HTTPServer(("127.0.0.1", 0), platform) as server:
        (tmp_path / "admin").write_text(f"127.0.0.1:{server.server_port}\n")
        (tmp_path / "token").write_text("secret\n")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def run(*args: str) -> tuple[int, list[str], str]:
            argv = ["tubepost", "suppression", *args, "--data", str(tmp_path)]
            monkeypatch.setattr("sys.argv", argv)
            code = main.main()
            said = capsys.readouterr()
            return code, said.out.splitlines(), said.err

        yield run
        server.shutdown()
        thread.join()


def test_the_list_has_all_pages(run: Run) -> None:
    assert run("list") == (0, [ANN_LINE, BOB_LINE], "")
    code, lines, _ = run("list", "--json")
    assert (code, json.loads("\n".join(lines))) == (0, [ANN, BOB])


def test_a_limit_asks_for_no_more(run: Run, platform: type[Platform]) -> None:
    assert run("list", "--limit", "1", "--domain", "far.example") == (0, [ANN_LINE], "")
    assert [query["domain"] for _, _, query in platform.asked] == [["far.example"]]


def test_it_says_that_nothing_here_counts(run: Run, platform: type[Platform]) -> None:
    platform.seconds = 0
    assert "the setting suppress is 0" in run("list")[2]
    assert "the setting suppress is 0" in run("add", "bob@far.example", "--days", "1")[2]


def test_show(run: Run) -> None:
    assert run("show", "ann@far.example") == (0, [ANN_LINE], "")
    assert run("show", "kim@far.example") == (1, [], "tubepost: not suppressed\n")


def test_add_and_remove(run: Run, platform: type[Platform]) -> None:
    assert run("add", "bob@far.example", "--days", "0.5", "--reason", "asked us") == (
        0,
        [BOB_LINE],
        "",
    )
    assert run("add", "bob@far.example")[0] == 0
    assert run("remove", "bob@far.example") == (0, [], "")
    told = [each for each in platform.asked if each[0] != "GET"]
    assert told == [
        (
            "POST",
            "/v1/suppressions",
            {"address": "bob@far.example", "reason": "asked us", "seconds": 43_200},
        ),
        ("POST", "/v1/suppressions", {"address": "bob@far.example", "reason": ""}),
        ("DELETE", "/v1/suppressions/bob@far.example", None),
    ]


def test_clear_goes_on_until_nothing_is_left(run: Run, platform: type[Platform]) -> None:
    assert run("clear", "--domain", "far.example") == (0, ["removed: 501"], "")
    assert [body["cursor"] for _, _, body in platform.asked] == [0, 9]
    assert run("clear", "--all") == (0, ["removed: 501"], "")


@pytest.mark.parametrize("args", [(), ("--all", "--domain", "far.example")])
def test_what_to_clear_is_said_exactly(
    run: Run, platform: type[Platform], args: tuple[str, ...]
) -> None:
    code, _, said = run("clear", *args)
    assert (code, said) == (2, "tubepost: give one of --domain DOMAIN and --all\n")
    assert platform.asked == []
