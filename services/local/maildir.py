"""Writes mails into Maildirs, durably: tmp -> fsync -> new -> fsync of the folder. Blocking.

A name is made from the mail's id, so that a delivery repeated after a crash replaces its own file
instead of adding a second one, and no two pods ever make the same one. It carries the size on disk
(S, LF line ends) and as POP3 and IMAP count it (W, CRLF), in Dovecot's form.
Source: maildir(5); qmail-local.c maildir_child().
"""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

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

    Several at once, because each step then waits for the disk once instead of once for each mail.
    """
    tmp = [_tried(_write, parcel) for parcel in parcels]
    placed = [
        file if isinstance(file, OSError) else _tried(file.rename, parcel.target)
        for file, parcel in zip(tmp, parcels, strict=True)
    ]
    folders = {parcel.target.parent for parcel in parcels}
    synced = {folder: _tried(_sync, folder) for folder in folders}
    return [
        next((r for r in (result, synced[p.target.parent]) if isinstance(r, OSError)), None)
        for result, p in zip(placed, parcels, strict=True)
    ]


def _tried(step: Callable[[A], R], argument: A) -> R | OSError:
    """What the step returns, or what stopped it: one mail's trouble is not another's."""
    try:
        return step(argument)
    except OSError as error:
        return error


def _write(parcel: Parcel) -> Path:
    """The file in tmp, on disk. What is left behind by a failure is removed."""
    tmp = parcel.maildir / "tmp" / f"{parcel.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        make(parcel.maildir)
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        view = memoryview(parcel.content)
        while view:
            view = view[os.write(fd, view) :]
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
