"""The file in which Maildir++ keeps what a mailbox holds: `maildirsize`. Blocking.

First line the quota, then `octets mails` for each change; the sum is what is used (VDM-7). Dovecot
reads it, appends to it, and puts another in its place when it has counted for itself. A domain has
a file of the same kind.

Reading, checking and appending are one step under a lock, so that parallel deliveries do not share
the last octet (VDM-8). The lock is flock(2) on a file of its own beside it: maildirsize itself may
be replaced at any time; fcntl's locks are a process's, so threads would not exclude each other, and
are lost when any of them closes the file. Linux passes flock on to an NFS server as a lock of the
whole file, so pods on several nodes exclude each other too (not with `local_lock=flock`).

That file says which maildirsize we counted, and when. Any other is somebody else's count, which
may have missed a mail on its way: it is counted again.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tubepost.quota import Quota, Used

FULL = 5120
"""Octets from which the file is made anew."""

OLD = 15 * 60.0
"""Seconds after which a count is not believed when there is no room by it."""

STALE = 24 * 3600.0
"""Seconds after which it is not believed at all: there may have been no quota for a while."""

_PRIVATE = 0o600

_CHANGES = re.compile(rb"(?: *[+-]?\d{1,18} +[+-]?\d{1,18} *\n)+")


@dataclass(frozen=True, slots=True)
class Standing:
    """`inode` and `size`: of the file. `age`: seconds since it was counted."""

    used: Used
    inode: int
    size: int
    age: float


def head_of(quota: Quota) -> str:
    """The first line; `0S` is no limit (then the domain has a quota)."""
    return str(quota) if quota else "0S"


def total(content: bytes, quota: Quota) -> Used | None:
    """The sum; None where the file is broken, too long or of another quota."""
    head, _, changes = content.partition(b"\n")
    if len(content) >= FULL or head != head_of(quota).encode() or not _CHANGES.fullmatch(changes):
        return None
    numbers = changes.split()
    octets, mails = sum(map(int, numbers[::2])), sum(map(int, numbers[1::2]))
    return Used(octets, mails) if octets >= 0 and mails >= 0 else None


class SizeFile:
    """One such file, of `quota`; `lasts`: seconds for which a count is believed; `since`: when
    booking began, no count of before that is.
    """

    def __init__(
        self, path: str, quota: Quota, *, lasts: float = STALE, since: float = 0.0
    ) -> None:
        self.path, self.quota, self.lasts, self.since = path, quota, lasts, since

    @contextlib.contextmanager
    def locked(self, *, make: bool = True) -> Iterator["Locked"]:
        """FileNotFoundError where there is no folder, or without `make` no lock file yet."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if make else 0)
        fd = os.open(self.path + "-lock", flags, _PRIVATE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield Locked(self, fd)
        finally:
            os.close(fd)

    def glance(self, now: float) -> Standing | None:
        """What it holds, without the lock; None where it has to be counted."""
        try:
            fd = os.open(self.path + "-lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            return Locked(self, fd).read(now)
        finally:
            os.close(fd)

    def inode(self) -> int:
        """Of the file that is there now; 0 = none."""
        try:
            return os.stat(self.path, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return 0


class Locked:
    """What may be done while the lock is held, but for reading, which may be done at any time."""

    def __init__(self, file: SizeFile, lock: int) -> None:
        self._file, self._lock = file, lock

    def read(self, now: float) -> Standing | None:
        """None where it has to be counted: it is missing, broken, too long, stale, not ours."""
        inode, counted = self._state()
        try:
            fd = os.open(self._file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(fd).st_ino
            content = os.read(fd, FULL)
        finally:
            os.close(fd)
        used, age = total(content, self._file.quota), now - counted
        if used is None or found != inode or not -OLD < age < self._file.lasts:
            return None
        if counted < self._file.since:
            return None
        return Standing(used, found, len(content), age)

    @property
    def is_ours(self) -> bool:
        """Whether the file is the one that we counted last."""
        return self._state()[0] == self._file.inode()

    def append(self, octets: int, mails: int) -> None:
        """Books a change; where there is no file, nothing: it will be counted."""
        line = f"{octets} {mails}\n".encode()
        try:
            fd = os.open(self._file.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            if os.write(fd, line) != len(line):
                self.forget()  # half a line: the disk is full
        finally:
            os.close(fd)

    def replace(self, used: Used, counted: float) -> Standing:
        """Puts a new file in its place, of one line besides the quota."""
        new = self._file.path + "-new"
        content = f"{head_of(self._file.quota)}\n{used.octets} {used.mails}\n".encode()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # somebody was killed here
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
        try:
            os.write(fd, content)
            inode = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        self._remember(inode, counted)
        os.rename(new, self._file.path)
        return Standing(used, inode, len(content), 0.0)

    def forget(self) -> None:
        """Removes the file: whoever needs it next counts."""
        self._remember(0, 0.0)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file.path)

    def _state(self) -> tuple[int, float]:
        words = os.pread(self._lock, 100, 0).split()
        try:
            return int(words[0]), float(words[1])
        except (IndexError, ValueError):
            return 0, 0.0

    def _remember(self, inode: int, counted: float) -> None:
        os.pwrite(self._lock, f"{inode} {counted:.0f}\n".ljust(40).encode(), 0)
