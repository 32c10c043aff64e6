"""A delivery dies at each of its steps; what a reader sees, and what the next try makes of it."""

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.local import maildir
from services.local.maildir import MANY, Parcel
from tests.local import crashes


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where it may be: hundreds of deliveries, and none waits for a disk."""
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        yield Path(name)


def deaths(folder: Path, count: int, made: str) -> list[tuple[Path, str]]:
    """(mail root, step) of each."""
    command = [sys.executable, "-m", "tests.local.crashes", str(folder), str(count), made]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = [line.split() for line in done.stdout.splitlines()]
    return [(folder / root, step) for root, step in found]


def copies(parcel: Parcel) -> list[bytes]:
    """What a reader finds of it."""
    found = [*parcel.maildir.glob("new/*"), *parcel.maildir.glob("cur/*")]
    return [file.read_bytes() for file in found if file.name.partition(":")[0] == parcel.name]


def read_all(root: Path) -> None:
    """A reader moves what is new, as POP3 and Dovecot do."""
    for file in root.glob("*/*/Maildir/new/*"):
        file.rename(file.parents[1] / "cur" / f"{file.name}:2,S")


@pytest.mark.parametrize("reader", ["a reader between", "no reader"])
@pytest.mark.parametrize("made", ["made", "missing"])
@pytest.mark.parametrize("count", [1, MANY + 1])
def test_each_mail_is_there_once_and_whole_after_the_next_try(
    folder: Path, count: int, made: str, reader: str
) -> None:
    found = deaths(folder, count, made)
    needed = {"open", "write", "close", "rename", "fsync"}
    needed |= {"mkdir"} if made == "missing" else set()
    needed |= {"syncfs"} if count >= MANY else set()
    assert {step for _, step in found} == needed
    for root, step in found:
        parcels = crashes.parcels(root, count)
        for parcel in parcels:
            assert copies(parcel) in ([], [parcel.content]), (root.name, step)
        if reader == "a reader between":
            read_all(root)
        again = [dataclasses.replace(parcel, suspect=True) for parcel in parcels]
        assert maildir.deliver(again, root) == [None] * count, (root.name, step)
        for parcel in parcels:
            assert copies(parcel) == [parcel.content], (root.name, step)


@pytest.mark.parametrize("made", ["made", "missing"])
def test_without_a_reader_even_a_try_that_suspects_nothing_makes_no_copy(
    folder: Path, made: str
) -> None:
    """After a restart of the bus nobody may know that a job was handed out before."""
    for root, step in deaths(folder, 1, made):
        [parcel] = crashes.parcels(root, 1)
        assert maildir.deliver([parcel], root) == [None]
        assert copies(parcel) == [parcel.content], (root.name, step)
