"""Where a round's files lie: on an ext4 made for that round, or in a plain folder.

Must not leave a mount behind: mounts are made in a namespace that ends with this process.

Why a fresh file system: what a round leaves (fragments, the journal, deleted inodes) slows the
next one. An ext4 without a journal, as on some virtual machines, even searches for five minutes
past every inode deleted lately, which triples the cost of an fsync'ed file for a queue of files.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.peers import BenchError, run

MIB = 1024 * 1024
BASE_MIB = 512
MIB_PER_MAIL = 0.1

_CLONE_NEWNS = 0x00020000
# Everything is written before the clock runs: no background initialisation, no hole in the file.
_MKFS = ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")


class FolderDisk:
    """A folder on the file system that is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty folder, removed afterwards."""
        home = self._folder / "round"
        home.mkdir(mode=0o755)
        try:
            yield home
        finally:
            shutil.rmtree(home)


class FreshDisk:
    """An ext4 with default features in a preallocated file, made anew for every use."""

    def __init__(self, folder: Path, mails: int) -> None:
        """Writes the file, `mails` a load large. Raises BenchError where loop mounts cannot be."""
        self._image = folder / "disk.img"
        self._point = folder / "disk"
        self._point.mkdir()
        _private_mounts()
        with self._image.open("wb") as image:
            for _ in range(BASE_MIB + int(mails * MIB_PER_MAIL)):
                image.write(bytes(MIB))
            os.fsync(image.fileno())
        with self.fresh():
            pass

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Path]:
        """The mount point of a new, empty file system; unmounted afterwards."""
        # Direct I/O: the page cache holds a block once, and a flush reaches the file's own disk.
        device = run(["losetup", "--find", "--show", "--direct-io=on", self._image]).strip()
        try:
            run([*_MKFS, device])
            run(["mount", device, self._point])
        finally:
            run(["losetup", "--detach", device])  # when mounted: takes effect with the unmount
        try:
            self._point.chmod(0o755)
            yield self._point
        finally:
            run(["umount", self._point])


def choose(folder: Path, mails: int, *, plain: bool) -> FolderDisk | FreshDisk:
    """A fresh disk unless `plain` is asked for or it cannot be; says so when it cannot."""
    if plain:
        return FolderDisk(folder)
    try:
        return FreshDisk(folder, mails)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"no fresh file system for each round, a folder instead: {error}")
        return FolderDisk(folder)


def describe(folder: Path) -> str:
    """Type and device of the mount `folder` lies on, with what makes its numbers special."""
    point, device, kind = "", "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        if folder.resolve().is_relative_to(words[1]) and len(words[1]) >= len(point):
            device, point, kind = words[:3]
    if kind == "tmpfs":
        return "tmpfs: WARNING, memory and no disk, an fsync costs nothing (see --dir)"
    if kind == "ext4" and not any(Path("/proc/fs/jbd2").glob(f"{Path(device).name}-*")):
        return f"ext4 on {device}: WARNING, it has no journal (see bench/README.md)"
    return f"{kind} on {device}"


def _private_mounts() -> None:
    """From here on this process and its children see mounts nobody else sees (unshare(2))."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare CLONE_NEWNS")
    run(["mount", "--make-rprivate", "/"])
