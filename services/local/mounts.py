"""Which file system a path is on, told without touching it: one that hangs would hang us too.

Only paths are compared, so a symbolic link to another file system counts as being where it is.
"""

import os
import select
import weakref
from collections.abc import Iterable
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
ANY_BYTES = "surrogateescape"
BLOCK = 65_536
_POINT = 4


class Mounts:
    """The mount points at and below the mail root; follows changes."""

    def __init__(self, root: Path, table: Path = TABLE) -> None:
        self._given, self._root = str(root), os.path.realpath(root)
        self._points: frozenset[str] = frozenset()
        self._changed = select.poll()
        self._table = -1
        if table.exists():  # on Linux
            self._table = os.open(table, os.O_RDONLY)
            weakref.finalize(self, os.close, self._table)
            self._changed.register(self._table, select.POLLPRI)  # proc(5): tells of changes
            self._read()

    def of(self, path: str) -> str:
        """The mount point below the root it is on, relative to the root; "" is the root's own."""
        if self._table >= 0 and self._changed.poll(0):
            self._read()
        if not self._points:
            return ""
        below = path.removeprefix(self._given).strip("/")
        while below and below not in self._points:
            below = below.rpartition("/")[0]
        return below

    def _read(self) -> None:
        os.lseek(self._table, 0, os.SEEK_SET)
        octets = b"".join(iter(lambda: os.read(self._table, BLOCK), b""))
        self._points = frozenset(points_below(self._root, octets.decode(errors=ANY_BYTES)))


def points_below(root: str, mountinfo: str) -> Iterable[str]:
    """The mount points below `root`, relative to it. `mountinfo`: see proc(5)."""
    for line in mountinfo.splitlines():
        point = _unescaped(line.split()[_POINT])
        if point.startswith(root.rstrip("/") + "/"):
            yield point.removeprefix(root).strip("/")


def _unescaped(text: str) -> str:
    """Space, tab, line end and backslash stand there as three octal digits."""
    octets = text.encode(errors=ANY_BYTES).decode("unicode_escape").encode("latin-1")
    return octets.decode(errors=ANY_BYTES)
