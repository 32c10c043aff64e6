"""Writes mails into Maildirs, durably: tmp -> fsync -> new -> fsync of the folder. Blocking.

A name is made from the mail's id, so that a delivery repeated after a crash replaces its own file
instead of adding a second one, and no two pods ever make the same one. It carries the size on disk
(S, LF line ends) and as POP3 and IMAP count it (W, CRLF), in Dovecot's form.

rename, not link and unlink: link exists to notice that a name is taken, and ours can be taken by
this mail alone. It is one step less, one that no crash can halve, and needs no link counts to
understand a lost reply of NFS.
Source: maildir(5); qmail-local.c maildir_child().
"""

import contextlib
import errno
import itertools
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.local import disk, folders

MANY = 3
"""From so many mails on, one syncfs is cheaper than a fsync for each."""

_numbers = itertools.count()

_INSTANCE = secrets.token_hex(6)
"""Pods share pid 1, so the pid would not tell their temporary files apart."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One file to be: `content` has LF line ends and goes to `maildir`/new/`name`.

    `suspect`: an earlier try may have delivered it, and a reader may have moved it since.
    """

    maildir: Path
    name: str
    content: bytes
    suspect: bool = False

    @property
    def target(self) -> Path:
        return Path(self.path("new"))

    def path(self, folder: str, ending: str = "") -> str:
        """As text: joining Paths cost more than writing the file (docs/performance.md)."""
        return f"{self.maildir}/{folder}/{self.name}{ending}"


def file_name(created: float, mail_id: str, unit: str, content: bytes) -> str:
    """A name for good: the same mail gets the same one on every try."""
    size = len(content)
    return f"{int(created)}.{mail_id}_{unit},S={size},W={size + content.count(10)}"


class _Passage:
    """One parcel on its way. After a step has failed, the later ones do nothing."""

    def __init__(self, parcel: Parcel, root: Path) -> None:
        self.parcel, self._root = parcel, root
        self.error: OSError | None = None
        self.device = 0  # of a file that is on disk only once its file system was synced
        self.folder = ""  # holds the mail; to be synced
        self._tmp = ""

    def step(self, action: Callable[[], object]) -> None:
        """One mail's trouble is not another's: it is kept, not raised."""
        if self.error is not None:
            return
        try:
            action()
        except OSError as error:
            self.error = error
        except ValueError as error:  # no path: a NUL in it
            self.error = OSError(errno.EINVAL, str(error))
        if self.error is not None:
            self.clean()  # at once: on a full disk the next mail may fit

    def write(self, *, sync: bool) -> None:
        """The file in tmp, on disk if `sync`. Nothing where an earlier try has delivered it."""
        parcel = self.parcel
        if parcel.suspect and (there := _earlier(parcel)):
            self.folder = there
            return
        tmp = parcel.path("tmp", f".{_INSTANCE}.{next(_numbers)}")
        fd = self._created(tmp)
        self._tmp = tmp
        try:
            view = memoryview(parcel.content)
            while view:
                view = view[os.write(fd, view) :]
            if sync or not disk.synced_as_a_whole(fd):
                os.fsync(fd)
            else:
                self.device = os.fstat(fd).st_dev
        finally:
            os.close(fd)

    def _created(self, tmp: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(tmp, flags, 0o600)
        except FileNotFoundError:
            folders.make(self.parcel.maildir, self._root)
            return os.open(tmp, flags, 0o600)

    def place(self) -> None:
        """From tmp to new."""
        if not self._tmp:
            return
        target = self.parcel.path("new")
        try:
            os.rename(self._tmp, target)
        except FileNotFoundError:
            if os.path.lexists(self._tmp):
                folders.make(self.parcel.maildir, self._root)
                os.rename(self._tmp, target)
            else:  # NFS repeats a request whose reply was lost, and finds it done
                os.stat(target)
        self._tmp = ""
        self.folder = f"{self.parcel.maildir}/new"

    def clean(self) -> None:
        """Leaves nothing of a failure in tmp."""
        if self._tmp:
            with contextlib.suppress(OSError):  # the first error is the one that tells
                os.unlink(self._tmp)
            self._tmp = ""


def deliver(parcels: Sequence[Parcel], root: Path) -> list[OSError | None]:
    """Delivers them all; for each None, durably done, or what stopped it. `root`: the mail root.

    Several at once, because the disk is then waited for once instead of once for each mail:
    docs/decisions/0003 has the figures.
    """
    passages = [_Passage(parcel, root) for parcel in parcels]
    for passage in passages:
        passage.step(partial(passage.write, sync=len(parcels) < MANY))
    for there in _grouped(passages, lambda passage: passage.device):
        if there[0].device:
            _for_all(there, partial(disk.sync_file_system, str(there[0].parcel.maildir)))
    for passage in passages:
        passage.step(passage.place)
    for there in _grouped(passages, lambda passage: passage.folder):
        _for_all(there, partial(disk.sync, there[0].folder))
    for passage in passages:
        passage.clean()
    return [passage.error for passage in passages]


def _earlier(parcel: Parcel) -> str:
    """The folder in which an earlier try has put it, or "".

    new is looked at first: a mail only ever moves from there to cur, where it gets flags (`:2,S`).
    """
    if os.path.lexists(parcel.path("new")):
        return f"{parcel.maildir}/new"
    cur = f"{parcel.maildir}/cur"
    with contextlib.suppress(FileNotFoundError), os.scandir(cur) as entries:
        if any(entry.name.partition(":")[0] == parcel.name for entry in entries):
            return cur
    return ""


def _grouped(
    passages: Sequence[_Passage], key: Callable[[_Passage], object]
) -> list[list[_Passage]]:
    """Those that have gone well so far, by file system or by folder."""
    groups: dict[object, list[_Passage]] = {}
    for passage in passages:
        if passage.error is None:
            groups.setdefault(key(passage), []).append(passage)
    return list(groups.values())


def _for_all(passages: Sequence[_Passage], action: Callable[[], None]) -> None:
    """One action on behalf of several: its failure is the failure of each."""
    try:
        action()
    except OSError as error:
        for passage in passages:
            passage.error = error
