"""The mail that says a mailbox is nearly full: at most one a day (VDM-9)."""

import contextlib
import os
from email.utils import formatdate

from tubepost.bookings import Books
from tubepost.quota import Quota, Used
from tubepost.trace_headers import delivered_to, return_path

A_DAY = 86_400.0

TEXT = """\
Your mailbox is {percent} % full.

When no more fits in, new mail for you waits or goes back to its senders.
Please remove mails that you no longer need."""


def percent(used: Used, quota: Quota) -> int:
    """Of the octets or of the mails, whichever is more."""
    octets = used.octets * 100 // quota.octets if quota.octets else 0
    mails = used.mails * 100 // quota.mails if quota.mails else 0
    return max(octets, mails)


def is_due(books: Books, now: float) -> bool:
    """True for one caller a day, whoever else asks: the time of `quotawarn` says when. Blocking."""
    path = f"{books.maildir}/quotawarn"
    if _is_of_today(path, now):
        return False
    with books.file.locked():
        if _is_of_today(path, now):
            return False
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        os.utime(path, (now, now))
    return True


def mail(address: str, sender: str, text: str, full: int, now: float) -> bytes:
    """As it lies in the Maildir, LF line ends. `sender`: in From; the envelope has none.

    `text`: "" = ours.
    """
    host = sender.rpartition("@")[2]
    header = (
        f"From: {sender}\n"
        f"To: {address}\n"
        "Subject: Your mailbox is nearly full\n"
        f"Date: {formatdate(now)}\n"
        f"Message-ID: <quotawarn.{now:.0f}.{address.replace('@', '.')}@{host}>\n"
        "Auto-Submitted: auto-generated\n"
        "MIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
    )
    body = (text or TEXT).replace("{percent}", str(full))
    trace = (return_path("") + delivered_to(address)).replace(b"\r\n", b"\n")
    return trace + f"{header}{body}\n".encode()


def _is_of_today(path: str, now: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return abs(now - os.stat(path, follow_symlinks=False).st_mtime) < A_DAY
    return False
