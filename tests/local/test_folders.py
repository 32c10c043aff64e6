"""Folders that are made, a mail root that is not, and what is left in tmp."""

import os
from pathlib import Path

import pytest

from services.local import disk, folders
from services.local.folders import DAY, STALE, Litter

NOW = 1_800_000_000.0


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    inbox = tmp_path / "joe" / "Maildir"
    folders.make(inbox, tmp_path)
    return inbox


def litter(inbox: Path, name: str, age: float) -> Path:
    file = inbox / "tmp" / name
    file.write_bytes(b"half a ma")
    os.utime(file, (NOW - age, NOW - age))
    return file


def test_every_new_folder_is_on_disk_before_something_is_put_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real = os.mkdir

    def mkdir(folder: Path, mode: int) -> None:
        done.append(f"mkdir {folder.name}")
        real(folder, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(disk, "sync", lambda folder: done.append(f"sync {Path(folder).name}"))
    folders.make(tmp_path / "example.org" / "joe" / "Maildir", tmp_path)
    assert done == [
        "mkdir example.org",
        f"sync {tmp_path.name}",
        "mkdir joe",
        "sync example.org",
        "mkdir Maildir",
        "sync joe",
        *(f"mkdir {name}" for name in folders.FOLDERS),
        "sync Maildir",
    ]


def test_a_mail_root_that_is_gone_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        folders.make(tmp_path / "away" / "joe" / "Maildir", tmp_path / "away")
    assert list(tmp_path.iterdir()) == []


def test_a_home_outside_the_mail_root_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not in the subpath"):
        folders.make(tmp_path / "joe" / "Maildir", tmp_path / "mail")
    assert list(tmp_path.iterdir()) == []


def test_a_mail_root_may_have_to_be_a_mount_point(tmp_path: Path) -> None:
    folders.check_root(tmp_path, mounted=False)
    folders.check_root(Path("/proc"), mounted=True)
    with pytest.raises(FileNotFoundError, match="not mounted"):
        folders.check_root(tmp_path, mounted=True)
    with pytest.raises(FileNotFoundError, match="not there"):
        folders.check_root(tmp_path / "away", mounted=False)


def test_files_in_tmp_are_removed_after_36_hours(inbox: Path) -> None:
    old, young = litter(inbox, "old", STALE + 1), litter(inbox, "young", STALE - 60)
    Litter().clear([inbox], NOW)
    assert not old.exists()
    assert young.exists()


def test_a_file_that_was_read_lately_is_left_alone(inbox: Path) -> None:
    file = litter(inbox, "read", STALE + 1)
    os.utime(file, (NOW - 60, NOW - STALE - 1))
    Litter().clear([inbox], NOW)
    assert file.exists()


def test_a_maildir_is_looked_at_once_a_day(inbox: Path) -> None:
    cleaner = Litter()
    cleaner.clear([inbox], NOW)
    old = litter(inbox, "old", STALE + 1)
    cleaner.clear([inbox], NOW + DAY - 1)
    assert old.exists()
    cleaner.clear([inbox], NOW + DAY)
    assert not old.exists()


def test_one_look_goes_through_so_many_files_and_the_next_goes_on(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LOOKED_AT", 4)
    for number in range(6):
        litter(inbox, f"old{number}", STALE + 1)
    cleaner = Litter()
    cleaner.clear([inbox], NOW)
    assert len(list((inbox / "tmp").iterdir())) == 2
    cleaner.clear([inbox], NOW + 1)
    assert list((inbox / "tmp").iterdir()) == []


def test_only_so_many_looks_are_remembered(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "KNOWN", 1)
    other = tmp_path / "ann" / "Maildir"
    folders.make(other, tmp_path)
    cleaner = Litter()
    cleaner.clear([inbox, other], NOW)
    files = [litter(box, "old", STALE + 1) for box in (inbox, other)]
    cleaner.clear([other, inbox], NOW + 1)
    assert [file.exists() for file in files] == [False, True]


def test_a_folder_or_a_link_in_tmp_is_no_litter(inbox: Path) -> None:
    (inbox / "tmp" / "folder").mkdir()
    (inbox / "tmp" / "link").symlink_to("/nowhere")
    Litter().clear([inbox], 4e9)
    assert len(list((inbox / "tmp").iterdir())) == 2


def test_a_tmp_that_cannot_be_listed_harms_nobody(tmp_path: Path, inbox: Path) -> None:
    old = litter(inbox, "old", STALE + 1)
    Litter().clear([tmp_path / "nobody", inbox], NOW)
    assert not old.exists()
