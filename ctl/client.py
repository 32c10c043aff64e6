"""The HTTP client of the command: finds the platform, asks /v1, turns problems into one line."""

import contextlib
import functools
import json
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from ctl.place import Refused, find

__all__ = ["Api", "Refused"]


class Api:
    """/v1 of the platform on a data folder, or of TUBEPOST_ADMIN with TUBEPOST_TOKEN.

    `token_file`: holds the token to use instead of theirs. `headers`: go with every question.
    """

    def __init__(
        self,
        data: Path | None,
        *,
        token_file: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._base, self._token, self._where = find(data, token_file)
        self._own = dict(headers or {})

    @functools.cached_property
    def _http(self) -> httpx.Client:
        """Made once: each has a TLS context of its own, and that takes 45 ms."""
        client = httpx.Client(timeout=30)
        weakref.finalize(self, client.close)
        return client

    def get(self, *path: str, **query: Any) -> Any:
        return self._call("GET", path, params=query)

    def post(self, *path: str, **more: Any) -> Any:
        return self._call("POST", path, **more)

    def put(self, *path: str, **more: Any) -> Any:
        return self._call("PUT", path, **more)

    def patch(self, *path: str, **more: Any) -> Any:
        return self._call("PATCH", path, **more)

    def delete(self, *path: str, **more: Any) -> Any:
        return self._call("DELETE", path, **more)

    def pieces(self, *path: str, **query: Any) -> Iterator[bytes]:
        """What is there, as it comes: for what may be big, or slow."""
        url, headers = self._url(path), self._headers()
        with (
            self._reaching(),
            self._http.stream("GET", url, headers=headers, params=query) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise Refused(_detail(answer), answer.status_code)
            yield from answer.iter_bytes()

    def json_lines(self, *path: str, **query: Any) -> Iterator[Any]:
        """The value on each line, as it comes."""
        rest = b""
        for piece in self.pieces(*path, **query):
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Any:
        with self._reaching():
            answer = self._http.request(
                method, self._url(path), headers=self._headers(headers), **more
            )
        if answer.is_error:
            raise Refused(_detail(answer), answer.status_code)
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise Refused(f"{self._where} is not a tubepost: it does not answer in JSON") from error

    def _url(self, path: tuple[str, ...]) -> str:
        return f"{self._base}/v1/" + "/".join(quote(part, safe="") for part in path)

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**self._own, **(more or {}), "Authorization": f"Bearer {self._token}".rstrip()}

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Refused(
                f"{self._where} does not answer ({error}); is `tubepost up` running?"
            ) from error


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"unexpected answer {answer.status_code} from {answer.url.host}"
