"""What an operator reads of a mailbox that could not be written. Pure.

Always a deferral: a disk, a right or a folder can be put right, and the mail waits meanwhile.
"""

import errno
from pathlib import PurePath

from tubepost.outcome import Deferred

_SYSTEM = "4.3.0"
_FULL = "4.3.1"
_SET_UP_WRONG = "4.3.5"
_MAILBOX = "4.2.0"

_KNOWN: dict[int, tuple[str, str]] = {
    errno.ENOSPC: (_FULL, "No space left on the disk of the mailbox"),
    errno.EDQUOT: (_FULL, "The file system's quota for Tubepost's user is used up"),
    errno.EROFS: (_SYSTEM, "The file system of the mailbox is read-only"),
    errno.EIO: (_SYSTEM, "The disk of the mailbox reports errors"),
    errno.ETIMEDOUT: (_SYSTEM, "The file system of the mailbox does not answer"),
    errno.ESTALE: (_SYSTEM, "Stale NFS file handle: the server has changed its export"),
    errno.EMFILE: (_SYSTEM, "This process has too many files open"),
    errno.ENFILE: (_SYSTEM, "This host has too many files open"),
    errno.EACCES: (_SET_UP_WRONG, "Tubepost's user may not write to the mailbox"),
    errno.EPERM: (_SET_UP_WRONG, "Tubepost's user may not write to the mailbox"),
    errno.ENOTDIR: (_SET_UP_WRONG, "Something that is no folder stands in the way"),
    errno.ELOOP: (_SET_UP_WRONG, "Symbolic links go in circles"),
    errno.ENAMETOOLONG: (_SET_UP_WRONG, "The path of the mailbox is too long"),
    errno.ENOENT: (_MAILBOX, "A folder of the mailbox is missing and could not be made"),
}


def deferral(error: OSError, root: PurePath) -> Deferred:
    """`root`: the mail root; what is told of paths is what lies below it."""
    path = error.filename if isinstance(error.filename, str) else ""
    if error.errno == errno.ENOENT and path == str(root):
        return _deferred("4.3.0", f"{(error.strerror or '').capitalize()}")
    status, text = _KNOWN.get(
        error.errno or 0,
        (_MAILBOX, f"Unable to write to the mailbox: {error.strerror or 'unknown error'}"),
    )
    return _deferred(status, text + _place(path, root))


def _deferred(status: str, text: str) -> Deferred:
    return Deferred(text=f"{text}. (#{status})", status=status, kind="server_trouble")


def _place(path: str, root: PurePath) -> str:
    """The folder it happened in: a file's own name is another one at each try."""
    folder = PurePath(path).parent if path else root
    if folder == root or not folder.is_relative_to(root):
        return ""
    return f": {folder.relative_to(root)}"
