"""What stops a delivery, in words: a deferral each time."""

import errno
import os
from pathlib import PurePath

import pytest

from services.local.trouble import deferral

ROOT = PurePath("/srv/mail")
FILE = "/srv/mail/example.org/1f/joe/Maildir/tmp/m1.x.1"


def told(number: int, path: str | None = FILE) -> tuple[str, str]:
    outcome = deferral(OSError(number, os.strerror(number), path), ROOT)
    return outcome.text, outcome.status


@pytest.mark.parametrize(
    ("number", "words", "status"),
    [
        (errno.ENOSPC, "No space left on the disk", "4.3.1"),
        (errno.EDQUOT, "quota for Tubepost's user is used up", "4.3.1"),
        (errno.EACCES, "may not write", "4.3.5"),
        (errno.EPERM, "may not write", "4.3.5"),
        (errno.EROFS, "read-only", "4.3.0"),
        (errno.ENOENT, "is missing and could not be made", "4.2.0"),
        (errno.ENOTDIR, "no folder stands in the way", "4.3.5"),
        (errno.ELOOP, "in circles", "4.3.5"),
        (errno.ESTALE, "Stale NFS file handle", "4.3.0"),
        (errno.ENAMETOOLONG, "too long", "4.3.5"),
        (errno.EMFILE, "too many files open", "4.3.0"),
        (errno.ENFILE, "too many files open", "4.3.0"),
        (errno.EIO, "reports errors", "4.3.0"),
        (errno.ETIMEDOUT, "does not answer", "4.3.0"),
        (errno.EXDEV, "Invalid cross-device link", "4.2.0"),
    ],
)
def test_each_error_has_words_and_a_code(number: int, words: str, status: str) -> None:
    text, told_status = told(number)
    assert words in text
    assert text.endswith(f": example.org/1f/joe/Maildir/tmp. (#{status})")
    assert told_status == status


@pytest.mark.parametrize("path", [None, "/srv/mail", "/etc/passwd"])
def test_no_path_outside_the_mail_root_is_told(path: str | None) -> None:
    assert told(errno.EROFS, path)[0] == "The file system of the mailbox is read-only. (#4.3.0)"


def test_a_missing_mail_root_is_called_so() -> None:
    error = FileNotFoundError(errno.ENOENT, "the mail root is not mounted", "/srv/mail")
    assert deferral(error, ROOT).text == "The mail root is not mounted. (#4.3.0)"


def test_an_error_without_a_number_defers_too() -> None:
    text = "Unable to write to the mailbox: unknown error. (#4.2.0)"
    assert deferral(OSError(), ROOT).text == text
