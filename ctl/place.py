"""Where the platform is that a command asks, and how it says no.

Without httpx: `sendmail` is to start quickly.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tubepost.errors import BadInput, TubepostError

DEFAULT_DATA = Path("data")

CLIENT_FILE = Path("/etc/tubepost/client")
"""TUBEPOST_ADMIN=... and TUBEPOST_TOKEN=..., a line each: cron jobs have no environment."""


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


def find(data: Path | None, token_file: Path | None = None) -> tuple[str, str, str]:
    """(base URL, token, how to call it in a message)."""
    given = _text_of(token_file) if token_file else ""
    values = os.environ if "TUBEPOST_ADMIN" in os.environ or data else _from_file(CLIENT_FILE)
    admin = values.get("TUBEPOST_ADMIN", "")
    if admin and data is None:
        if not admin.startswith(("http://", "https://")):
            raise BadInput("TUBEPOST_ADMIN is a URL such as http://127.0.0.1:8025")
        return admin.rstrip("/"), given or values.get("TUBEPOST_TOKEN", ""), admin
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


def _from_file(file: Path) -> Mapping[str, str]:
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}
