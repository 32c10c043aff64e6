"""Writes mails into Maildirs, durably: tmp -> fsync -> new -> fsync of the folder. Blocking.

A name is made from the mail's id, so that a delivery repeated after a crash replaces its own file
instead of adding a second one, and no two pods ever make the same one. It carries the size on disk
(S, LF line ends) and as POP3 and IMAP count it (W, CRLF), in Dovecot's form.
Source: maildir(5); qmail-local.c maildir_child().
"""

import ctypes
import itertools
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

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
        return self.maildir / "new" / self.name


def file_name(created: float, mail_id: str, unit: str, content: bytes) -> str:
    """A name for good: the same mail gets the same one on every try."""
    size = len(content)
    return f"{int(created)}.{mail_id}_{unit},S={size},W={size + content.count(10)}"


def deliver(parcels: Sequence[Parcel]) -> list[OSError | None]:
    """Delivers them all; for each None, durably done, or what stopped it.

    Several at once, because the disk is then waited for once instead of once for each mail:
    docs/decisions/0003 has the figures.
    """
    alone = len(parcels) < MANY
    results: list[Path | OSError] = [_tried(partial(_write, sync=alone), p) for p in parcels]
    if not alone:
        results = _unless(_tried(_sync_file_system, parcels[0].maildir), results)
    results = [
        file if isinstance(file, OSError) else _tried(file.rename, parcel.target)
        for file, parcel in zip(results, parcels, strict=True)
    ]
    synced = {f: _tried(_sync, f) for f in {parcel.target.parent for parcel in parcels}}
    results = [
        _unless(synced[parcel.target.parent], [result])[0]
        for result, parcel in zip(results, parcels, strict=True)
    ]
    return [result if isinstance(result, OSError) else None for result in results]


def _unless(trouble: OSError | None, results: list[Path | OSError]) -> list[Path | OSError]:
    """`results`, or the trouble for each of those that went well so far."""
    if trouble is None:
        return results
    return [result if isinstance(result, OSError) else trouble for result in results]


def _tried(step: Callable[[A], R], argument: A) -> R | OSError:
    """What the step returns, or what stopped it: one mail's trouble is not another's."""
    try:
        return step(argument)
    except OSError as error:
        return error


def _write(parcel: Parcel, *, sync: bool) -> Path:
    """The file in tmp, on disk if `sync`. What is left behind by a failure is removed."""
    tmp = parcel.maildir / "tmp" / f"{parcel.name}.{_INSTANCE}.{next(_numbers)}"
    try:
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        make(parcel.maildir)
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(parcel.content)
        while view:
            view = view[os.write(fd, view) :]
        if sync:
            os.fsync(fd)
    except OSError:
        tmp.unlink()
        raise
    finally:
        os.close(fd)
    return tmp


def make(maildir: Path) -> None:
    """Makes a Maildir and the folders above it, up to the mail root, which must be there."""
    for folder in FOLDERS:
        (maildir / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    for above in (maildir, *list(maildir.parents)[:3]):
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
