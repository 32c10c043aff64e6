"""An Authority in memory, and mail for its users. Written by hand: what it answers is plain."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.popauth.connection import Accepted, LoginResult, Refused, TryLater
from tubepost.errors import Unavailable


@dataclass
class FakeAuthority:
    """Users and passwords; every user's home is `homes/USER`. Notes who asked from where."""

    homes: Path
    passwords: Mapping[str, str]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def login(self, user: str, password: str, client_ip: str) -> LoginResult:
        """`later` and `away` are users whose password cannot be checked just now; `bug` fails."""
        self.asked.append((user, client_ip))
        if user == "later":
            return TryLater()
        if user == "away":
            raise Unavailable("the directory did not answer")
        if user == "bug":
            raise KeyError("a mistake of ours")
        if self.passwords.get(user) != password:
            return Refused("wrong password")
        return Accepted(user, self.homes / user)


def fill(home: Path, messages: Mapping[str, bytes]) -> Path:
    """Writes `new/NAME` or `cur/NAME:2,` files into home/Maildir, and returns that folder."""
    folder = home / "Maildir"
    for part in ("tmp", "new", "cur"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for place, content in messages.items():
        (folder / place).write_bytes(content)
    return folder


def named(seconds: int, content: bytes) -> str:
    """A Maildir name as our local service writes it, both sizes in it."""
    wire = len(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    unique = hashlib.sha256(content).hexdigest()[:8]
    return f"{seconds}.M1P2Q{unique}.host,S={len(content)},W={wire}"
