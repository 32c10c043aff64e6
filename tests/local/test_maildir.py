"""Files in Maildirs: names, content, several at once; what stops one does not stop the others."""

import os
import stat
from pathlib import Path

import pytest

from services.local import disk, folders, maildir
from services.local.maildir import Parcel, file_name

CONTENT = b"Subject: hello\n\nHi.\n"


NAME = "1700000000.m1_0,S=20,W=23"


def parcel(folder: Path, name: str = NAME, content: bytes = CONTENT) -> Parcel:
    return Parcel(folder, name, content)


def deliver(parcels: list[Parcel]) -> list[OSError | None]:
    """The mail root is what is there already."""
    root = next(folder for folder in parcels[0].maildir.parents if folder.exists())
    return maildir.deliver(parcels, root)


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
    made = [inbox, *(inbox / name for name in folders.FOLDERS), *list(inbox.parents)[:3]]
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
    folders.make(inbox, inbox.parents[3])
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
    folders.make(inbox, inbox.parents[3])
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


def read(inbox: Path, name: str = NAME, flags: str = ":2,S") -> Path:
    """What a reader does with a new mail."""
    return (inbox / "new" / name).rename(inbox / "cur" / f"{name}{flags}")


@pytest.mark.parametrize("flags", [":2,", ":2,S", ":2,ST", ""])
def test_a_suspect_mail_that_was_read_meanwhile_is_not_delivered_again(
    inbox: Path, flags: str
) -> None:
    deliver([parcel(inbox)])
    there = read(inbox, flags=flags)
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect=True)]) == [None]
    assert files(inbox / "new") == {}
    assert files(inbox / "cur") == {there.name: CONTENT}


def test_a_suspect_mail_that_is_still_new_is_left_as_it_is(inbox: Path) -> None:
    deliver([parcel(inbox)])
    before = (inbox / "new" / NAME).stat().st_ino
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect=True)]) == [None]
    assert (inbox / "new" / NAME).stat().st_ino == before


def test_a_suspect_mail_that_never_came_is_delivered_beside_others(inbox: Path) -> None:
    deliver([parcel(inbox, "1700000000.m10_0,S=20,W=23")])
    other = read(inbox, "1700000000.m10_0,S=20,W=23")
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect=True)]) == [None]
    assert list(files(inbox / "new")) == [NAME]
    assert other.exists()


def test_an_earlier_try_counts_once_its_folder_is_on_disk(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have died between the rename and the fsync of the folder."""
    deliver([parcel(inbox)])
    read(inbox)
    synced: list[str] = []
    monkeypatch.setattr(disk, "sync", synced.append)
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect=True)]) == [None]
    assert synced == [f"{inbox}/cur"]


def test_a_suspect_mail_to_a_mailbox_without_folders_is_delivered(inbox: Path) -> None:
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect=True)]) == [None]
    assert list(files(inbox / "new")) == [NAME]


@pytest.mark.parametrize("missing", folders.FOLDERS)
def test_a_half_made_maildir_is_completed(inbox: Path, missing: str) -> None:
    folders.make(inbox, inbox.parents[3])
    (inbox / missing).rmdir()
    suspect = missing == "cur"  # a first try has no business there
    assert deliver([Parcel(inbox, NAME, CONTENT, suspect)]) == [None]
    assert list(files(inbox / "new")) == [NAME]
    assert files(inbox / "tmp") == {}


def test_a_rename_whose_reply_was_lost_is_done(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS: the repeated request does not find its source any more."""
    real = os.rename

    def repeated(source: str, target: str) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "rename", repeated)
    assert deliver([parcel(inbox)]) == [None]
    assert files(inbox / "new") == {NAME: CONTENT}


def test_a_file_that_vanished_from_tmp_is_not_called_delivered(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def too_late(source: str, target: str) -> None:
        os.unlink(source)
        real(source, target)

    monkeypatch.setattr(os, "rename", too_late)
    [error] = deliver([parcel(inbox)])
    assert isinstance(error, FileNotFoundError)


def test_a_path_that_is_none_stops_its_own_mail_only(inbox: Path) -> None:
    [error, fine] = deliver([parcel(inbox, "a\0b"), parcel(inbox)])
    assert isinstance(error, OSError)
    assert fine is None


def test_each_file_is_synced_where_the_whole_file_system_is_not_trusted(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS, and whatever else is not known."""
    folders.make(inbox, inbox.parents[3])
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{fd}")).parent.name)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(disk, "synced_as_a_whole", lambda _fd: False)
    names = [f"mail{n}" for n in range(maildir.MANY)]
    assert deliver([parcel(inbox, name) for name in names]) == [None] * maildir.MANY
    assert synced == ["tmp"] * maildir.MANY + ["Maildir"]
