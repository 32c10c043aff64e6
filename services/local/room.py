"""How much the mails of an account take, for smtpd, which asks before it takes one more.

Added up from the sizes in the file names, for the Maildir and the folders in it, without what is
in the trash (VDM-7). A folder that has not changed is not read again.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from tubepost.address import parse_address
from tubepost.directory import Directory
from tubepost.errors import BadInput, Unavailable

KNOWN = 10_000
"""Folders whose sum is kept."""

SETTLED = 2.0
"""Seconds since its last change after which a folder's time tells of the next one for sure."""

_SIZE = re.compile(r",S=(\d{1,18})(?=[,:]|\Z)")
_TRASHED = re.compile(r":2,[A-Z]*T")


class Room:
    """Answers `quota.room`, one question at a time: what is known has no lock."""

    def __init__(self, directory: Directory, mail_root: Path) -> None:
        self._directory, self._root = directory, mail_root
        self._known: dict[str, tuple[int, int]] = {}

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Address -> {used}, in octets; {} where it cannot be told now."""
        try:
            account = await self._directory.account(parse_address(data.decode()))
            home = self._root / account.home / "Maildir" if account else None
            used = await asyncio.to_thread(self.used, home) if home else 0
        except (OSError, Unavailable, BadInput):
            return b"{}"
        return json.dumps({"used": used}).encode()

    def used(self, maildir: Path) -> int:
        """Octets. Blocking. A Maildir that does not exist yet is empty; OSError otherwise."""
        self._root.stat()  # one that is not mounted is no empty one
        return sum(self._folder(folder) for folder in _folders(maildir))

    def _folder(self, path: str) -> int:
        try:
            changed = os.stat(path).st_mtime_ns
            known = self._known.get(path)
            if known and known[0] == changed:
                return known[1]
            used = sum(_sizes(path))
        except FileNotFoundError:
            return 0
        if time.time() - changed / 1e9 > SETTLED:
            self._known.pop(path, None)
            self._known[path] = (changed, used)
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return used


def _folders(maildir: Path) -> Iterator[str]:
    try:
        inside = [entry.name for entry in os.scandir(maildir)]
    except FileNotFoundError:
        return
    more = (name for name in inside if name.startswith(".") and name != ".Trash")
    for name in ("", *more):
        for part in ("cur", "new"):
            yield os.path.join(maildir, name, part)


def _sizes(folder: str) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _TRASHED.search(entry.name):
                continue
            written = _SIZE.search(entry.name)
            yield int(written[1]) if written else _on_disk(entry.path)


def _on_disk(path: str) -> int:
    """Of a file that another program has named. It may have gone since it was listed."""
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0
