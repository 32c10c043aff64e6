"""Files in Maildirs: names, content, several at once; what stops one does not stop the others."""

import os
import stat
from pathlib import Path

import pytest

from services.local import maildir
from services.local.maildir import Parcel, deliver, file_name

CONTENT = b"Subject: hello\n\nHi.\n"


NAME = "1700000000.m1_0,S=20,W=23"


def parcel(folder: Path, name: str = NAME, content: bytes = CONTENT) -> Parcel:
    return Parcel(folder, name, content)


def files(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir()}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "example.org" / "1f" / "joe" / "Maildir"


def test_a_name_has_the_time_the_mail_the_unit_and_both_sizes() -> None:
    assert file_name(1_700_000_000.9, "m1", "0", CONTENT) == "1700000000.m1_0,S=20,W=23"


def test_every_try_of_a_unit_has_the_same_name_and_every_unit_its_own() -> None:
    one = file_name(1.0, "m1", "0", CONTENT)
    assert one == file_name(1.0, "m1", "0", CONTENT)
    assert len({one, file_name(1.0, "m1", "1", CONTENT), file_name(1.0, "m2", "0", CONTENT)}) == 3


def test_a_mail_lies_in_new_with_exactly_its_octets(inbox: Path) -> None:
    content = bytes(range(256)) + b"\n"
    assert deliver([parcel(inbox, content=content)]) == [None]
    assert files(inbox / "new") == {parcel(inbox).name: content}
    assert files(inbox / "tmp") == {}


def test_missing_folders_are_made_for_their_user_alone(inbox: Path) -> None:
    os.umask(0o077)
    deliver([parcel(inbox)])
    made = [inbox, *(inbox / name for name in maildir.FOLDERS), *list(inbox.parents)[:3]]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o700}
    assert stat.S_IMODE((inbox / "new" / parcel(inbox).name).stat().st_mode) == 0o600


def test_the_same_mail_twice_is_one_file(inbox: Path) -> None:
    assert deliver([parcel(inbox)]) + deliver([parcel(inbox)]) == [None, None]
    assert deliver([parcel(inbox), parcel(inbox)]) == [None, None]
    assert list(files(inbox / "new")) == [parcel(inbox).name]
    assert files(inbox / "tmp") == {}


def test_many_at_once_go_to_many_mailboxes(tmp_path: Path) -> None:
    wanted = [parcel(tmp_path / f"box{n % 3}", f"mail{n}", b"%d\n" % n) for n in range(30)]
    assert deliver(wanted) == [None] * 30
    for each in wanted:
        assert each.target.read_bytes() == each.content


def test_a_mailbox_that_cannot_be_written_stops_its_own_mail_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    parcels = [parcel(tmp_path / "a"), parcel(tmp_path / "file"), parcel(tmp_path / "b")]
    first, second, third = deliver(parcels)
    assert (first, third) == (None, None)
    assert isinstance(second, NotADirectoryError)


def test_a_new_that_is_no_folder_stops_the_mail_and_leaves_nothing_in_tmp(inbox: Path) -> None:
    maildir.make(inbox)
    (inbox / "new").rmdir()
    (inbox / "new").write_text("not a folder")
    [error] = deliver([parcel(inbox)])
    assert isinstance(error, OSError)
    assert files(inbox / "tmp") == {}


def test_a_name_that_is_too_long_is_an_error_of_its_own_mail(inbox: Path) -> None:
    long = parcel(inbox, "x" * 300)
    [error, fine] = deliver([long, parcel(inbox)])
    assert isinstance(error, OSError)
    assert fine is None


def test_a_mail_is_on_disk_before_it_has_its_name_and_its_folder_after(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maildir.make(inbox)
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append((place.parent.name if place.is_file() else place.name, target.exists()))
        real(fd)

    target = parcel(inbox).target
    monkeypatch.setattr(os, "fsync", fsync)
    assert deliver([parcel(inbox)]) == [None]
    assert synced == [("tmp", False), ("new", True)]
