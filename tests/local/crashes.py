"""Deliveries that die by SIGKILL, before and after each step: `python -m tests.local.crashes`.

A program of its own, so that it may fork: pytest's process has threads. Each death is in a folder
of its own; a line on stdout for each, `folder step`.
"""

import contextlib
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.local import disk, folders, maildir
from services.local.maildir import Parcel

CALLS = ("open", "write", "fsync", "close", "mkdir", "rename", "unlink")
"""Of `os`. syncfs is added."""

MOMENTS = ("before", "half", "after")
"""half: in a write, when one half of its octets are written."""


def parcels(root: Path, count: int) -> list[Parcel]:
    """`count` mails, two to a mailbox."""
    return [
        Parcel(root / "example.org" / f"box{n // 2}" / "Maildir", f"mail{n}", b"%d\n" % n * 500)
        for n in range(count)
    ]


def die_at(number: int, moment: str, told: int) -> None:
    """The numbered step is the last; its name goes to the descriptor `told`."""
    steps = itertools.count()

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if (moment == "half" and name != "write") or next(steps) != number:
                return real(*args, **named)
            _write(told, name.encode())
            if moment == "after":
                real(*args, **named)
            elif moment == "half":
                real(args[0], args[1][: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("still alive")

        return call

    for name in CALLS:
        setattr(os, name, dying(name, getattr(os, name)))
    disk.sync_file_system = dying("syncfs", disk.sync_file_system)


_write = os.write


def _one(root: Path, count: int, number: int, moment: str) -> str:
    """The step at which a delivery died; "" when it had fewer."""
    here, there = os.pipe()
    pid = os.fork()
    if not pid:
        die_at(number, moment, there)
        found = maildir.deliver(parcels(root, count), root)
        os._exit(any(found))
    os.close(there)
    with os.fdopen(here) as told:
        step = told.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return step
    assert status == 0
    return ""


def main(folder: Path, count: int, *, made: bool) -> None:
    """`made`: the mailboxes are there before."""
    for moment in MOMENTS:
        for number in itertools.count():
            root = folder / f"{moment}{number}"
            root.mkdir()
            if made:
                for parcel in parcels(root, count):
                    folders.make(parcel.maildir, root)
            step = _one(root, count, number, moment)
            if not step:
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(root)
                break
            sys.stdout.write(f"{root.name} {step}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), made=sys.argv[3] == "made")
