"""Writes mails into Maildirs, durably: tmp -> fsync -> new -> fsync of the folder. Blocking.

A name is made from the mail's id, so that a delivery repeated after a crash replaces its own file
instead of adding a second one, and no two pods ever make the same one. It carries the size on disk
(S, LF line ends) and as POP3 and IMAP count it (W, CRLF), in Dovecot's form.
Source: maildir(5); qmail-local.c maildir_child().
"""

import contextlib
import ctypes
import itertools
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

MANY = 3 if sys.platform == "linux" else sys.maxsize
"""From so many mails on, one syncfs is cheaper than a fsync for each."""

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()

_INSTANCE = secrets.token_hex(6)
"""Pods share pid 1, so the pid would not tell their temporary files apart."""

FOLDERS = ("tmp", "new", "cur")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One file to be: `content` has LF line ends and goes to `maildir`/new/`name`."""

    maildir: Path
    name: str
    content: bytes

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

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel
        self.error: OSError | None = None
        self.device = 0
        self._tmp = ""

    def step(self, action: Callable[[], object]) -> None:
        """One mail's trouble is not another's: it is kept, not raised."""
        if self.error is None:
            try:
                action()
            except OSError as error:
                self.error = error

    def write(self, *, sync: bool) -> None:
        """The file in tmp, on disk if `sync`."""
        parcel = self.parcel
        tmp = parcel.path("tmp", f".{_INSTANCE}.{next(_numbers)}")
        fd = _created(tmp, parcel.maildir)
        self._tmp = tmp
        try:
            view = memoryview(parcel.content)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
            self.device = os.fstat(fd).st_dev
        finally:
            os.close(fd)

    def place(self) -> None:
        """From tmp to new."""
        if self._tmp:
            os.rename(self._tmp, self.parcel.path("new"))
            self._tmp = ""

    def clean(self) -> None:
        """Leaves nothing of a failure in tmp."""
        if self._tmp:
            with contextlib.suppress(OSError):  # the first error is the one that tells
                os.unlink(self._tmp)


def deliver(parcels: Sequence[Parcel]) -> list[OSError | None]:
    """Delivers them all; for each None, durably done, or what stopped it.

    Several at once, because the disk is then waited for once instead of once for each mail:
    docs/decisions/0003 has the figures.
    """
    alone = len(parcels) < MANY
    passages = [_Passage(parcel) for parcel in parcels]
    for passage in passages:
        passage.step(partial(passage.write, sync=alone))
    if not alone:
        for there in _grouped(passages, lambda passage: passage.device):
            _for_all(there, partial(_sync_file_system, there[0].parcel.maildir))
    for passage in passages:
        passage.step(passage.place)
    for there in _grouped(passages, lambda passage: passage.parcel.maildir):
        _for_all(there, partial(_sync, there[0].parcel.maildir / "new"))
    for passage in passages:
        passage.clean()
    return [passage.error for passage in passages]


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


def _created(tmp: str, maildir: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(tmp, flags, 0o600)
    except FileNotFoundError:
        make(maildir)
        return os.open(tmp, flags, 0o600)


def make(maildir: Path) -> None:
    """Makes a Maildir and the folders above it, up to the mail root, which must be there."""
    for folder in FOLDERS:
        (maildir / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for above in (maildir, *list(maildir.parents)[:4]):
        _sync(above)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_file_system(folder: Path) -> None:
    """syncfs(2): everything written to this file system is on disk. Reports errors since 5.8."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)
