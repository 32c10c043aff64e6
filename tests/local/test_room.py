"""How much an account's mails take: names, files without a size, folders, and what has changed."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.local.folders import make
from services.local.maildir import Parcel, deliver, file_name
from services.local.room import Room
from tests.fakes import MemoryBus
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory import Directory
from tubepost.directory_values import Account, account_key, entry_value
from tubepost.keyed import Bucket
from tubepost.quota import Quota
from tubepost.tasks import background

ANN = Account("ann@example.net", "example.net/00/ann", "no hash", quota=Quota(1000))
LONG_AGO = 1_700_000_000


@pytest.fixture
async def directory(memory_bus: MemoryBus) -> AsyncIterator[Directory]:
    found = Directory(memory_bus)
    async with background(found.run()):
        await found.loaded()
        bucket = Bucket(memory_bus, subjects.DIRECTORY)
        key = account_key(parse_address(ANN.address))
        await found.seen(key, await bucket.put(key, entry_value(ANN)))
        yield found


@pytest.fixture
def room(directory: Directory, tmp_path: Path) -> Room:
    return Room(directory, tmp_path)


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    found = tmp_path / ANN.home / "Maildir"
    make(found, tmp_path)
    return found


def put(folder: Path, name: str, octets: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * octets)


async def used(room: Room, address: str = ANN.address) -> bytes:
    return await room.answer(subjects.QUOTA_ROOM, address.encode())


async def test_what_was_delivered_counts(room: Room, maildir: Path) -> None:
    content = b"Subject: x\n\nhi\n"
    name = file_name(1.0, "018b", "0", content)
    assert deliver([Parcel(maildir, name, content)], maildir.parent) == [None]
    assert await used(room) == b'{"used": 15}'


async def test_names_files_and_folders(room: Room, maildir: Path) -> None:
    put(maildir / "new", "1.a,S=100,W=103")
    put(maildir / "cur", "2.b,S=20:2,S")
    put(maildir / "cur", "3.c:2,", octets=3)
    put(maildir / "cur", "4.d,S=5000:2,ST")  # marked as trash
    put(maildir / ".Sent" / "cur", "5.e,S=1000:2,S")
    put(maildir / ".Trash" / "cur", "6.f,S=10000:2,S")
    put(maildir / "tmp", "7.g,S=100000")
    assert await used(room) == b'{"used": 1123}'


async def test_a_folder_is_read_again_only_when_it_has_changed(room: Room, maildir: Path) -> None:
    put(maildir / "new", "1.a,S=100")
    os.utime(maildir / "new", (LONG_AGO, LONG_AGO))
    assert await used(room) == b'{"used": 100}'
    put(maildir / "new", "2.b,S=10")
    os.utime(maildir / "new", (LONG_AGO, LONG_AGO))  # as if nothing had happened
    assert await used(room) == b'{"used": 100}'
    os.utime(maildir / "new")
    assert await used(room) == b'{"used": 110}'
    put(maildir / "new", "3.c,S=1")  # so soon that the folder's time may not tell
    assert await used(room) == b'{"used": 111}'


async def test_no_maildir_yet_is_empty(room: Room) -> None:
    assert await used(room) == b'{"used": 0}'
    assert await used(room, "nobody@example.net") == b'{"used": 0}'


async def test_a_mail_root_that_is_not_there_tells_nothing(
    directory: Directory, tmp_path: Path
) -> None:
    assert await used(Room(directory, tmp_path / "not mounted")) == b"{}"
