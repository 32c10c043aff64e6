"""Batches, and file systems that do not answer."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.local import maildir
from services.local.maildir import Parcel
from services.local.mounts import Mounts
from services.local.writer import BATCH, Writer
from tubepost.tasks import background

CONTENT = b"Subject: hello\n\nHi.\n"


class Disk:
    """Real deliveries; those to a mailbox below `slow` wait until `answers` is set."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.answers, self.reached = threading.Event(), threading.Event()
        self._deliver = maildir.deliver

    def deliver(self, parcels: Sequence[Parcel], root: Path) -> list[OSError | None]:
        self.batches.append([parcel.name for parcel in parcels])
        if any("slow" in parcel.maildir.parts for parcel in parcels):
            self.reached.set()
            assert self.answers.wait(30)
        return self._deliver(parcels, root)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(maildir, "deliver", disk.deliver)
    # `slow` is a file system of its own
    monkeypatch.setattr(Mounts, "of", lambda _self, path: "slow" if "/slow/" in path else "")
    return disk


@pytest.fixture
async def writer(tmp_path: Path, disk: Disk) -> AsyncIterator[Writer]:
    writer = Writer(tmp_path, patience=0.0)
    async with background(writer.run()):
        yield writer
        disk.answers.set()


def parcel(root: Path, name: str, box: str = "joe") -> Parcel:
    return Parcel(root / box / "Maildir", name, CONTENT)


@pytest.fixture
async def patient(tmp_path: Path, disk: Disk) -> AsyncIterator[Writer]:
    writer = Writer(tmp_path)
    async with background(writer.run()):
        yield writer
        disk.answers.set()


async def test_what_waits_meanwhile_is_one_batch_of_at_most_so_many(
    patient: Writer, disk: Disk, tmp_path: Path
) -> None:
    first = asyncio.create_task(patient.put(parcel(tmp_path, "first", "slow")))
    await asyncio.to_thread(disk.reached.wait)
    rest = [patient.put(parcel(tmp_path, f"mail{n}", "slow")) for n in range(BATCH + 1)]
    waiting = asyncio.gather(*rest)
    await asyncio.sleep(0)
    disk.answers.set()
    assert await waiting == [None] * (BATCH + 1)
    assert await first is None
    assert [len(batch) for batch in disk.batches] == [1, BATCH, 1]


async def test_a_file_system_that_hangs_holds_up_no_other(
    patient: Writer, disk: Disk, tmp_path: Path
) -> None:
    hung = asyncio.create_task(patient.put(parcel(tmp_path, "hung", "slow")))
    await asyncio.to_thread(disk.reached.wait)
    assert await patient.put(parcel(tmp_path, "fine")) is None
    assert not hung.done()
    disk.answers.set()
    assert await hung is None


async def test_what_waits_for_one_that_hangs_is_deferred(
    writer: Writer, disk: Disk, tmp_path: Path
) -> None:
    """The slots of the worker are for others."""
    error = await writer.put(parcel(tmp_path, "hung", "slow"))
    assert error is not None
    assert error.errno == errno.ETIMEDOUT
    behind = await writer.put(parcel(tmp_path, "behind", "slow"))
    assert behind is not None
    assert behind.errno == errno.ETIMEDOUT
    await asyncio.to_thread(disk.reached.wait)
    assert disk.batches == [["hung"]]


async def test_one_that_answers_again_is_written_to_again(
    writer: Writer, disk: Disk, tmp_path: Path
) -> None:
    assert await writer.put(parcel(tmp_path, "hung", "slow")) is not None
    writer._patience = 30.0
    disk.answers.set()
    async with asyncio.timeout(30):
        while await writer.put(parcel(tmp_path, "again", "slow")) is not None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    inbox = tmp_path / "slow" / "Maildir" / "new"
    assert sorted(os.listdir(inbox)) == ["again", "hung"]


async def test_a_mail_root_that_is_gone_defers_the_whole_batch(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "away")
    async with background(writer.run()):
        puts = [writer.put(parcel(tmp_path / "away", name)) for name in ("a", "b")]
        found = await asyncio.gather(*puts)
    assert [type(error) for error in found] == [FileNotFoundError] * 2
    assert not (tmp_path / "away").exists()


async def test_one_that_has_to_be_a_mount_point_is_not_written_to_before(tmp_path: Path) -> None:
    writer = Writer(tmp_path, mounted=True)
    async with background(writer.run()):
        error = await writer.put(parcel(tmp_path, "a"))
    assert isinstance(error, FileNotFoundError)
    assert os.listdir(tmp_path) == []


async def test_old_files_in_tmp_go_with_a_delivery(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    tmp = tmp_path / "joe" / "Maildir" / "tmp"
    tmp.mkdir(parents=True)
    (tmp / "half").write_bytes(b"half a ma")
    os.utime(tmp / "half", (1_000_000_000, 1_000_000_000))
    async with background(writer.run()):
        assert await writer.put(parcel(tmp_path, "a")) is None
    assert list(tmp.iterdir()) == []
