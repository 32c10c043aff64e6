"""Brings files and folders onto the disk: one at a time, or all of a file system. Blocking."""

import ctypes
import os
import sys

_SYNCED_AS_A_WHOLE = {
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0xF2F52010,  # F2FS
    0x01021994,  # tmpfs: nothing to bring anywhere
    0x794C7630,  # overlayfs: passes it on to the file system below
}
"""statfs(2) f_type of file systems whose syncfs is known to wait for the disk and to report errors.

NFS is not among them: there a write error is told to fsync and close of that file, and syncfs does
not make the server commit what it has only in memory. What is unknown gets an fsync for each file.
"""

_libc = ctypes.CDLL(None, use_errno=True)
_STATFS_OCTETS = 256


def sync(folder: str) -> None:
    """What was made, renamed or removed in the folder is on disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(folder: str) -> None:
    """syncfs(2): everything written to this file system is on disk. Reports errors since 5.8."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(fd)


def synced_as_a_whole(fd: int) -> bool:
    """Whether `sync_file_system` is as good as fsync for what is on the file system of `fd`."""
    if sys.platform != "linux":
        return False
    found = ctypes.create_string_buffer(_STATFS_OCTETS)
    if _libc.fstatfs(fd, found) != 0:
        return False
    return ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF in _SYNCED_AS_A_WHOLE
