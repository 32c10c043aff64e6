"""How the command finds a platform, and what it says where it finds none or is told no."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctl.client import Api, Refused
from tubepost.errors import BadInput


class Answering(http.server.BaseHTTPRequestHandler):
    """Gives the answer of its server to everything, and keeps what was asked."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(http.server.HTTPServer):
    """On a free port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str]] = []
        self.answer = (200, b'"fine"')

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TUBEPOST_ADMIN", "TUBEPOST_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def data(folder: Path, address: str) -> Path:
    """A data folder as `tubepost up` leaves it."""
    folder.mkdir(exist_ok=True)
    (folder / "admin").write_text(address + "\n")
    (folder / "token").write_text("secret\n")
    return folder


def test_it_finds_the_platform_in_its_data_folder(server: Server, tmp_path: Path) -> None:
    assert Api(data(tmp_path / "here", server.address)).get("domains") == "fine"
    assert server.asked == [("/v1/domains", "Bearer secret")]


def test_data_in_the_current_folder_is_the_default(server: Server, tmp_path: Path) -> None:
    data(tmp_path / "data", server.address)
    assert Api(None).get("domains") == "fine"


def test_the_environment_names_another(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUBEPOST_ADMIN", f"http://{server.address}/")
    monkeypatch.setenv("TUBEPOST_TOKEN", "from outside")
    Api(None).get("queue", "counts", after="a b")
    assert server.asked == [("/v1/queue/counts?after=a+b", "Bearer from outside")]


def test_a_given_folder_wins_over_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUBEPOST_ADMIN", "http://127.0.0.1:1")
    assert Api(data(tmp_path / "here", server.address)).get("domains") == "fine"


def test_a_name_in_a_path_is_one_part_of_it(server: Server, tmp_path: Path) -> None:
    Api(data(tmp_path / "here", server.address)).get("accounts", "a/b?c#d@example.org")
    assert server.asked[0][0] == "/v1/accounts/a%2Fb%3Fc%23d%40example.org"


def test_an_environment_that_is_no_url_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUBEPOST_ADMIN", "localhost:8025")
    with pytest.raises(BadInput, match="TUBEPOST_ADMIN is a URL"):
        Api(None)


def test_a_folder_no_platform_has_run_on_is_said() -> None:
    with pytest.raises(BadInput, match="no tubepost has run on nowhere: start one with"):
        Api(Path("nowhere"))


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"cannot read .*Not a directory"):
        Api(tmp_path / "file")


def test_a_platform_that_does_not_run_is_said(tmp_path: Path) -> None:
    api = Api(data(tmp_path / "here", "127.0.0.1:1"))
    with pytest.raises(Refused, match=r"127\.0\.0\.1:1\) does not answer .*is `tubepost up`"):
        api.get("domains")


def test_a_no_is_told_in_the_platform_s_words(server: Server, tmp_path: Path) -> None:
    server.answer = 404, json.dumps({"detail": "there is no domain x"}).encode()
    with pytest.raises(Refused, match=r"^there is no domain x$"):
        Api(data(tmp_path / "here", server.address)).get("domains")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}"])
def test_an_error_without_words_has_its_status(server: Server, tmp_path: Path, body: bytes) -> None:
    server.answer = 502, body
    with pytest.raises(Refused, match="unexpected answer 502"):
        Api(data(tmp_path / "here", server.address)).get("domains")


def test_an_answer_without_a_body_is_none(server: Server, tmp_path: Path) -> None:
    server.answer = 200, b""
    assert Api(data(tmp_path / "here", server.address)).get("domains") is None


def test_an_answer_that_is_not_json_is_said(server: Server, tmp_path: Path) -> None:
    server.answer = 200, b"<html>hello</html>"
    with pytest.raises(Refused):
        Api(data(tmp_path / "here", server.address)).get("domains")
