"""The folders of a Maildir and those above it, made durably; what crashes left in tmp. Blocking.

It must never make the mail root: one that is missing, or is not mounted, is an operator's affair,
and mail written below the bare mount point would be out of sight once the volume is back.
"""

import contextlib
import errno
import itertools
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from services.local import disk

FOLDERS = ("cur", "new", "tmp")
"""In the order in which they are made: a delivery notices at once that tmp is missing, and makes
the rest too."""

STALE = 36 * 3600.0
"""Seconds after which nobody works on a file in tmp any more (maildir(5))."""

DAY = 86_400.0
LOOKED_AT = 1000
"""Files in tmp that one look goes through; the rest is for the next one."""

KNOWN = 10_000
"""Maildirs whose last look is remembered. Of one more the look is repeated: it is one listing."""


def check_root(root: Path, *, mounted: bool) -> None:
    """OSError where the mail root is not there; with `mounted`, also where it is no mount point."""
    if not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the mail root is not there", str(root))
    if mounted and not os.path.ismount(root):
        raise FileNotFoundError(errno.ENOENT, "the mail root is not mounted", str(root))


def make(maildir: Path, root: Path) -> None:
    """Makes what is missing of a Maildir and of the folders between it and `root`.

    Each new folder is in its parent on disk before anything is put into it.
    """
    between = maildir.relative_to(root)
    for folder in (*reversed(between.parents[:-1]), between):
        _make(root / folder)
        disk.sync(
            str((root / folder).parent)
        )  # also if it was there: who made it may have died since
    for name in FOLDERS:
        _make(maildir / name)
    disk.sync(str(maildir))


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):  # where it is no folder, what comes next fails
        os.mkdir(folder, 0o700)


class Litter:
    """Removes what deliveries that died left in tmp: at most one look a day at each Maildir."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Path, float] = OrderedDict()

    def clear(self, maildirs: Iterable[Path], now: float) -> None:
        """Looks where it has not looked for a day. `now`: seconds since 1970."""
        for maildir in maildirs:
            if now - self._seen.get(maildir, 0.0) < DAY:
                continue
            with contextlib.suppress(OSError):  # litter does no harm; the mails are delivered
                if _clear(maildir / "tmp", now - STALE):
                    self._remember(maildir, now)

    def _remember(self, maildir: Path, now: float) -> None:
        self._seen[maildir] = now
        self._seen.move_to_end(maildir)
        if len(self._seen) > KNOWN:
            self._seen.popitem(last=False)


def _clear(tmp: Path, before: float) -> bool:
    """Removes old files; False where the next look may find more of them."""
    with os.scandir(tmp) as entries:
        listed = list(itertools.islice(entries, LOOKED_AT))
        more = next(entries, None) is not None
    old = [e for e in listed if e.is_file(follow_symlinks=False) and _touched(e) < before]
    for entry in old:
        os.unlink(entry.path)
    return not (more and old)


def _touched(entry: "os.DirEntry[str]") -> float:
    found = entry.stat(follow_symlinks=False)
    return max(found.st_mtime, found.st_atime)
