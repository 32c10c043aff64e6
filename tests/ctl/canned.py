"""A platform for tests of the command: an HTTP server that gives the answers it is told to."""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote


class _Answering(http.server.BaseHTTPRequestHandler):
    server: "Canned"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path, _, query = self.path.partition("?")
        asked = f"{method} {unquote(path).removeprefix('/v1/')}"
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(asked + ("?" + query if query else ""))
        status, body = self.server.answers.get(asked, (404, {"detail": f"no {asked}"}))
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class Canned(http.server.ThreadingHTTPServer):
    """`answers`: by method and path below /v1; 404 for all others. `asked`: with their queries."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers = dict(answers)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def answering(answers: Mapping[str, tuple[int, Any]]) -> Iterator[Canned]:
    """A running one."""
    with Canned(answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
