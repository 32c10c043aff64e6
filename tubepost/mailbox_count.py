"""What lies in a Maildir and the folders in it: how many mails, how many octets. Blocking.

By the names, where they tell the size (`,S=`). Not counted: the folder `.Trash`, and mails that are
marked as trash (flag T): Maildir++, VDM-7. Counted besides: mails that are booked and still on
their way (`mark`), so that a count made meanwhile does not miss them.
"""

import contextlib
import os
import re
from collections.abc import Iterator

from tubepost.quota import Used

TMP = "tmp"

MARK = ".booked"
"""An empty file tmp/NAME.booked stands for a mail that is booked and will be new/NAME."""

FORGOTTEN = 36 * 3600.0
"""Seconds after which nobody comes for what lies in tmp: maildir(5)."""

_SIZE = re.compile(r",S=(\d{1,18})(?=[,:]|\Z)")
_TRASHED = re.compile(r":2,[A-Z]*T")


def mark(maildir: str, name: str) -> str:
    """The path of a mail's mark."""
    return f"{maildir}/{TMP}/{name}{MARK}"


def count(maildir: str, now: float) -> Used:
    """A Maildir that does not exist yet is empty; OSError otherwise.

    tmp is read before new, new before cur: the way a mail goes, so none is missed on it.
    """
    on_their_way = _marked(maildir, now)
    octets = mails = 0
    for folder in _folders(maildir):
        for name, size in _mails(folder).items():
            on_their_way.pop(name, None)
            if size >= 0:
                octets, mails = octets + size, mails + 1
    return Used(octets + sum(on_their_way.values()), mails + len(on_their_way))


def has(folder: str, name: str) -> bool:
    """Whether a mail is in a folder, with whatever flags."""
    return any(entry.name.partition(":")[0] == name for entry in _entries(folder))


def counts(file: str) -> bool:
    """Whether a mail of that name is counted at all."""
    return not _TRASHED.search(file)


def size_of(path: str) -> int:
    """Octets on disk, by the name or else by the file. FileNotFoundError if it is gone."""
    told = _SIZE.search(path, path.rfind("/"))
    return int(told[1]) if told else os.lstat(path).st_size


def _marked(maildir: str, now: float) -> dict[str, int]:
    found = {}
    for entry in _entries(f"{maildir}/{TMP}"):
        if not entry.name.endswith(MARK):
            continue
        with contextlib.suppress(FileNotFoundError):  # it has arrived since: new has it
            if now - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN:
                os.unlink(entry.path)
            else:
                name = entry.name.removesuffix(MARK)
                found[name] = size_of(name)
    return found


def _mails(folder: str) -> dict[str, int]:
    """Name up to `:` -> size; -1 = not counted. One moved meanwhile is met in both and is one."""
    found = {}
    for part in ("new", "cur"):
        for entry in _entries(f"{folder}/{part}"):
            name = entry.name.partition(":")[0]
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                found[name] = size_of(entry.path) if counts(entry.name) else -1
    return found


def _folders(maildir: str) -> Iterator[str]:
    yield maildir
    for entry in _entries(maildir):
        if entry.name.startswith(".") and entry.name != ".Trash" and entry.is_dir():
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
