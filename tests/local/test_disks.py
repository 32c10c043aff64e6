"""Deliveries to real file systems that are full, read-only, gone or not ours to write to.

They need root and mounts; CI has both, and there a test that could not run fails.
"""

import ctypes
import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.local import disk, folders, maildir
from services.local.maildir import Parcel
from services.local.mounts import Mounts
from services.local.trouble import deferral

CONTENT = b"Subject: hello\n\nHi.\n"
NOBODY = 65_534
_libc = ctypes.CDLL(None, use_errno=True)


def parcel(root: Path, name: str = "m", content: bytes = CONTENT) -> Parcel:
    return Parcel(root / "example.org" / "joe" / "Maildir", name, content)


def told(root: Path, *parcels: Parcel) -> list[str]:
    """What is said of each; "" is delivered."""
    found = maildir.deliver(parcels or [parcel(root)], root)
    return [deferral(error, root).text if error else "" for error in found]


def cannot(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        cannot(f"mount: {done.stderr}")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A mail root of its own: 128 KiB."""
    root = tmp_path / "volume"
    root.mkdir()
    mount("-t", "tmpfs", "-o", "size=128k", "tmpfs", root)
    yield root
    subprocess.run(["umount", root], check=True)


@pytest.mark.parametrize("beside", [0, maildir.MANY])
def test_a_full_disk_defers_and_leaves_nothing_half_written(volume: Path, beside: int) -> None:
    big = parcel(volume, "big", b"x" * 200_000 + b"\n")
    small = [parcel(volume, f"small{n}") for n in range(beside)]
    full, *fine = told(volume, big, *small)
    assert full.startswith("No space left on the disk of the mailbox")
    assert full.endswith("(#4.3.1)")
    inbox = big.maildir
    assert sorted(os.listdir(inbox / "new")) == [p.name for p in small]
    assert os.listdir(inbox / "tmp") == []
    assert fine == [""] * beside
    assert told(volume) == [""]


def test_a_read_only_volume_defers(volume: Path) -> None:
    assert told(volume) == [""]
    mount("-o", "remount,ro", volume)
    [there] = told(volume, parcel(volume, "again"))
    assert there.startswith("The file system of the mailbox is read-only: example.org/joe")
    elsewhere = Parcel(volume / "other.example" / "ann" / "Maildir", "m", CONTENT)
    assert told(volume, elsewhere) == ["The file system of the mailbox is read-only. (#4.3.0)"]


def test_a_volume_that_is_gone_defers_and_nothing_is_written_below_it(volume: Path) -> None:
    folders.check_root(volume, mounted=True)
    subprocess.run(["umount", volume], check=True)
    try:
        with pytest.raises(FileNotFoundError) as caught:
            folders.check_root(volume, mounted=True)
        assert deferral(caught.value, volume).text == "The mail root is not mounted. (#4.3.0)"
    finally:
        mount("-t", "tmpfs", "tmpfs", volume)


def test_a_volume_mounted_below_the_root_is_seen_when_it_comes(tmp_path: Path) -> None:
    point = tmp_path / "big.example"
    point.mkdir()
    mounts = Mounts(tmp_path)
    joe = f"{point}/1f/joe/Maildir"
    assert mounts.of(joe) == ""
    mount("-t", "tmpfs", "tmpfs", point)
    try:
        assert mounts.of(joe) == "big.example"
    finally:
        subprocess.run(["umount", point], check=True)
    assert mounts.of(joe) == ""


def test_tmpfs_is_synced_as_a_whole_and_proc_is_not_trusted(volume: Path) -> None:
    for folder, trusted in ((volume, True), (Path("/proc"), False)):
        fd = os.open(folder, os.O_RDONLY)
        assert disk.synced_as_a_whole(fd) is trusted
        os.close(fd)


@pytest.fixture
def public() -> Iterator[Path]:
    """A mail root that anybody may reach: pytest's own folders are for their user alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def as_nobody(action: Callable[[], list[str]]) -> list[str]:
    """With the rights of `nobody` in the file system; of this thread alone (setfsuid(2))."""
    if os.geteuid():
        return action()
    _libc.setfsuid(NOBODY)
    try:
        return action()
    finally:
        _libc.setfsuid(0)


def test_a_mailbox_of_another_user_defers_and_says_where(public: Path) -> None:
    folders.make(parcel(public).maildir, public)
    for folder in ("example.org", "example.org/joe", "example.org/joe/Maildir"):
        (public / folder).chmod(0o755)
    tmp = parcel(public).maildir / "tmp"
    tmp.chmod(0o500)
    [text] = as_nobody(lambda: told(public))
    where = "example.org/joe/Maildir/tmp"
    assert text == f"Tubepost's user may not write to the mailbox: {where}. (#4.3.5)"
    tmp.chmod(0o777)
    (tmp.parent / "new").chmod(0o500)
    [text] = as_nobody(lambda: told(public))
    assert text.startswith("Tubepost's user may not write to the mailbox")
    assert os.listdir(tmp) == []


def test_a_root_that_is_not_ours_defers_what_needs_a_new_folder(public: Path) -> None:
    public.chmod(0o555)
    text = "Tubepost's user may not write to the mailbox. (#4.3.5)"
    assert as_nobody(lambda: told(public)) == [text]


def test_too_many_open_files_defer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(tmp_path) == [""]
    real = os.open

    def none_left(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", none_left)
    assert told(tmp_path)[0].startswith("This process has too many files open")
