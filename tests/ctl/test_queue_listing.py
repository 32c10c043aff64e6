"""qread and the queue commands against the answers of a platform: pages, orders in slices."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ctl import queue_actions, queue_listing
from ctl.client import Refused

Answer = tuple[int, Any]


class Answering(http.server.BaseHTTPRequestHandler):
    """Gives its server's answers in turn, and keeps what was asked."""

    server: "Server"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        status, answer = self.server.answers.pop(0)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server calls

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Server(http.server.HTTPServer):
    """On a free port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[str] = []
        self.answers: list[Answer] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(queue_listing, "PAUSE", 0.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUBEPOST_TOKEN", raising=False)  # it is the platform that says so
    with Server() as server:
        monkeypatch.setenv("TUBEPOST_ADMIN", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mail(mail_id: str, *to: str, state: str = "pending") -> dict[str, Any]:
    recipients = [{"address": a, "channel": "remote", "done": False} for a in to]
    first = {"id": mail_id, "created": 1_065_864_150.0, "size": 7, "sender": "s@x.y"}
    return {**first, "state": state, "recipients": recipients}


def page(*mails: dict[str, Any], then: str | None = None) -> Answer:
    return 200, {"mails": list(mails), "next": then}


AWAY: Answer = (503, {"detail": "shard 1 of the queue has no scheduler now"})


def test_the_text_is_qmail_qread_s(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [page(mail("a", "b@x.y"), mail("c", state="bounce"))]
    queue_listing.qread()
    assert capsys.readouterr().out.splitlines() == [
        "11 Oct 2003 09:22:30 GMT  #a  7  <s@x.y>",
        "\tremote\tb@x.y",
        "11 Oct 2003 09:22:30 GMT  #c  7  <s@x.y> bouncing",
    ]


def test_a_mail_that_goes_on_on_the_next_page_is_one(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [
        page(mail("a", "1@x.y"), then="a.0"),
        page(then="a.1"),
        page(mail("a", "2@x.y")),
    ]
    queue_listing.qread(json=True)
    [found] = json.loads(capsys.readouterr().out)
    assert [r["address"] for r in found["recipients"]] == ["1@x.y", "2@x.y"]
    assert server.asked == ["/v1/queue", "/v1/queue?after=a.0", "/v1/queue?after=a.1"]


def test_a_list_that_has_begun_is_ended(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [page(mail("a"), then="a"), AWAY, AWAY, page(mail("b"))]
    queue_listing.qread(json=True, domain="x.y")
    assert [m["id"] for m in json.loads(capsys.readouterr().out)] == ["a", "b"]
    assert server.asked[1:] == ["/v1/queue?domain=x.y&after=a"] * 3


def test_but_one_that_cannot_begin_says_so_at_once(server: Server) -> None:
    server.answers = [AWAY]
    with pytest.raises(Refused, match="shard 1 of the queue has no scheduler now"):
        queue_listing.qread()


def test_nor_is_a_wrong_question_repeated(server: Server) -> None:
    server.answers = [page(mail("a"), then="a"), (400, {"detail": "no"})]
    with pytest.raises(Refused, match="no"):
        queue_listing.qread()


def test_so_many_and_no_more(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers = [page(mail("a"), mail("b"), then="b")]
    queue_listing.qread(limit=1, json=True)
    assert [m["id"] for m in json.loads(capsys.readouterr().out)] == ["a"]
    assert server.asked == ["/v1/queue?limit=1"]


def test_what_cannot_be_read_is_not_passed_over_in_silence(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [page(mail("a", state="unreadable"))]
    queue_listing.qread()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "tubepost: 1 records cannot be read; qread --json has them\n"


def test_an_order_is_carried_on_slice_after_slice(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    left = [{"id": f"m{n}", "unit": "0", "why": "it is held already"} for n in range(25)]
    server.answers = [
        (200, {"matched": 30, "changed": 5, "unchanged": left, "next": "1~0~m9"}),
        (200, {"matched": 2, "changed": 2, "unchanged": [], "next": None}),
    ]
    queue_actions.command("hold")(sender="@x.y")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "hold: 7 of 32 done"
    assert lines[1] == "  #m0 unit 0: it is held already"
    assert lines[-1] == "  and 5 more"
    assert server.asked == [
        "/v1/queue/hold?sender=%40x.y&cursor=",
        "/v1/queue/hold?sender=%40x.y&cursor=1~0~m9",
    ]
