"""The HTTP client of the command: finds the platform, asks /v1, turns problems into one line."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tubepost.errors import BadInput, TubepostError

DEFAULT_DATA = Path("data")


class Refused(TubepostError):
    """The platform said no, or does not answer. The text is for the person at the keyboard.

    `status`: of the answer; 0 where there was none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same question may have an answer in a moment."""
        return self.status in (0, 503)


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
        self._base, self._token, self._where = _find(data, token_file)
        self._own = dict(headers or {})

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
            httpx.stream("GET", url, headers=headers, params=query, timeout=30) as answer,
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
            answer = httpx.request(
                method, self._url(path), headers=self._headers(headers), timeout=30, **more
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


def _find(data: Path | None, token_file: Path | None) -> tuple[str, str, str]:
    """(base URL, token, how to call it in a message)."""
    given = _text_of(token_file) if token_file else ""
    admin = os.environ.get("TUBEPOST_ADMIN", "")
    if admin and data is None:
        if not admin.startswith(("http://", "https://")):
            raise BadInput("TUBEPOST_ADMIN is a URL such as http://127.0.0.1:8025")
        return admin.rstrip("/"), given or os.environ.get("TUBEPOST_TOKEN", ""), admin
    folder = data or DEFAULT_DATA
    try:
        address = (folder / "admin").read_text().strip()
        token = given or (folder / "token").read_text().strip()
    except FileNotFoundError:
        raise BadInput(
            f"no tubepost has run on {folder}: start one with `tubepost up --data {folder}`, "
            "or set TUBEPOST_ADMIN and TUBEPOST_TOKEN"
        ) from None
    except OSError as error:
        raise BadInput(f"cannot read {error.filename}: {error.strerror}") from error
    return f"http://{address}", token, f"the tubepost on {folder} ({address})"


def _text_of(token_file: Path) -> str:
    try:
        text = token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise BadInput(f"cannot read the token in {token_file}: {why}") from error
    if not text.isascii() or len(text.split()) != 1:
        raise BadInput(f"{token_file} has no token: it holds the one word that `token add` printed")
    return text


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"unexpected answer {answer.status_code} from {answer.url.host}"
