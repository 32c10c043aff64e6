"""What an account, and its domain, are booked to hold: exact under parallel delivery. Blocking.

A mail is booked before it is written (`reserve`), and taken back where writing failed (`settle`).
In between an empty file tmp/NAME.booked stands for it: a count that is made meanwhile sees it, and
the same mail, tried again after a crash, is not booked twice. Locks are taken domain first, account
second, and never held while a mail is written.
"""

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tubepost import mailbox_count
from tubepost.directory_values import Account, Domain
from tubepost.maildirsize import OLD, Locked, SizeFile, Standing
from tubepost.quota import ANY, NOTHING, Quota, Used

LONG = 1024
"""Octets from which a domain's file is made short, which costs less than reading it each time.

Nobody else writes it, so nothing is lost; maildirsize others append to at any time.
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """`used`: what the account holds with the mail. `inode`: of the file where that stands."""

    used: Used
    inode: int


@dataclass(frozen=True, slots=True)
class NoRoom:
    """`of`: "user" or "domain". `ever`: nor would there be if nothing else were in it."""

    of: str
    ever: bool = False


@dataclass(frozen=True, slots=True)
class Uncounted:
    """The domain has to be counted first, over all its accounts: `count_domain`."""


def domain_file(root: Path, domain: str, quota: Quota, since: float = 0.0) -> SizeFile:
    """Of a domain, which has had a quota `since` then.

    It lies apart from the homes, which are wherever their accounts say.
    """
    folder = f"{root}/.domains/{zlib.crc32(domain.encode()) & 0xFF:02x}/{domain}"
    return SizeFile(f"{folder}/domainsize", quota, lasts=float("inf"), since=since)


@dataclass(frozen=True, slots=True)
class Books:
    """Of an account with its Maildir, and of its domain where that has a quota.

    An account without one of its own is booked for its domain's sake, since that has one.
    """

    maildir: str
    quota: Quota
    domain: SizeFile | None = None
    quota_since: float = 0.0

    @property
    def file(self) -> SizeFile:
        return SizeFile(f"{self.maildir}/maildirsize", self.quota, since=self.since)

    @property
    def since(self) -> float:
        return self.domain.since if self.domain and not self.quota else self.quota_since

    def used(self, now: float) -> Used:
        """What the account holds. Counted again where that is much, and old."""
        much = Used(self.quota.octets // 2, self.quota.mails // 2)
        found = self.file.glance(now)
        if found and _is_believed(found, self.quota, much):
            return found.used
        if not os.path.isdir(self.maildir):
            return NOTHING
        with self.file.locked() as account:
            return self._standing(account, now, much).used

    def counted(self, now: float) -> Used:
        """What lies there, whatever is booked."""
        return mailbox_count.count(self.maildir, now)

    def used_by_domain(self, now: float) -> tuple[Used | None, bool]:
        """What is booked for the domain, and whether that can be believed."""
        if not self.domain:
            return None, True
        found, quota = self.domain.glance(now), self.domain.quota
        much = Used(quota.octets // 2, quota.mails // 2)
        return (found.used, _is_believed(found, quota, much)) if found else (None, False)

    def reserve(
        self, name: str, octets: int, now: float, *, again: bool = False, anyhow: bool = False
    ) -> Booked | NoRoom | Uncounted:
        """Books new/`name`, once. `again`: an earlier try may have put it there, and a reader have
        moved it since. `anyhow`: where there is no room, too.

        FileNotFoundError: the Maildir is not there yet.
        """
        more = Used(octets, 1)
        with self._locked() as (account, domain):
            standing = self._standing(account, now, more)
            if self._is_known(name) or (again and mailbox_count.has(f"{self.maildir}/cur", name)):
                return Booked(standing.used, standing.inode)
            refusal = None if anyhow else self._refusal(standing, domain, more, now)
            return refusal or self._book(name, more, standing, (account, domain))

    def settle(self, name: str, octets: int, booked: Booked, *, written: bool) -> None:
        """Once the mail is in new, or cannot be written."""
        mark = mailbox_count.mark(self.maildir, name)
        if written and self.file.inode() == booked.inode and _unlinked(mark):
            return
        with self._locked() as (account, domain):
            there = written or os.path.lexists(f"{self.maildir}/new/{name}")
            if not account.is_ours:  # another program has counted, and may have missed this mail
                account.forget()
            if not _unlinked(mark):  # a twin of this delivery has settled it, who knows how
                account.forget()
            elif not there:
                _booked_or_forgotten((account, domain), -octets, -1)

    @contextlib.contextmanager
    def removing(self) -> Iterator[list[int]]:
        """While the locks are held: the sizes of the mails that were removed are to be put in."""
        freed: list[int] = []
        with contextlib.ExitStack() as stack:
            files = [file for file in (self.domain, self.file) if file]
            found = []
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # nothing is booked there yet
                    found.append(stack.enter_context(file.locked(make=False)))
            try:
                yield freed
            finally:
                if freed:
                    _booked_or_forgotten(found, -sum(freed), -len(freed))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[Locked, Locked | None]]:
        with contextlib.ExitStack() as stack:
            domain = stack.enter_context(_made(self.domain).locked()) if self.domain else None
            yield stack.enter_context(self.file.locked()), domain

    def _standing(self, account: Locked, now: float, more: Used) -> Standing:
        found = account.read(now)
        if found and _is_believed(found, self.quota, more):
            return found
        return account.replace(mailbox_count.count(self.maildir, now), now)

    def _is_known(self, name: str) -> bool:
        """A try before this one has booked it, and may have written it."""
        paths = (mailbox_count.mark(self.maildir, name), f"{self.maildir}/new/{name}")
        return any(map(os.path.lexists, paths))

    def _refusal(
        self, standing: Standing, domain: Locked | None, more: Used, now: float
    ) -> NoRoom | Uncounted | None:
        for of, quota in (
            ("user", self.quota),
            ("domain", self.domain.quota if self.domain else ANY),
        ):
            if not quota.has_room(NOTHING, more):
                return NoRoom(of, ever=True)
        if not self.quota.has_room(standing.used, more):
            return NoRoom("user")
        if not self.domain or not domain:
            return None
        found = domain.read(now)
        if not found or not _is_believed(found, self.domain.quota, more):
            return Uncounted()
        if found.size > LONG:
            domain.replace(found.used, now - found.age)
        return None if self.domain.quota.has_room(found.used, more) else NoRoom("domain")

    def _book(
        self, name: str, more: Used, standing: Standing, files: tuple[Locked, Locked | None]
    ) -> Booked:
        mark = mailbox_count.mark(self.maildir, name)
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _booked_or_forgotten(files, more.octets, more.mails)
        except OSError:
            _unlinked(mark)
            raise
        used = Used(standing.used.octets + more.octets, standing.used.mails + more.mails)
        return Booked(used, standing.inode)


def books_of(account: Account, domain: Domain | None, root: Path) -> Books | None:
    """None where neither has a quota: then nothing is booked."""
    shared = domain.quota if domain else ANY
    if not account.quota and not shared:
        return None
    found = (
        domain_file(root, domain.name, shared, domain.quota_since) if domain and shared else None
    )
    maildir = f"{root}/{account.home}/Maildir"
    return Books(maildir, account.quota, found, account.quota_since)


def count_domain(domain: SizeFile, accounts: Iterable[Books], now: float) -> None:
    """Adds up what its accounts hold. First without the lock, where Maildirs have to be read."""
    everybody = list(accounts)
    for books in everybody:
        _last_known(books, now)
    with _made(domain).locked() as locked:
        found = locked.read(now)
        if found and found.age < OLD:
            return  # another process was quicker
        all_used = [_last_known(books, now) for books in everybody]
        octets, mails = sum(u.octets for u in all_used), sum(u.mails for u in all_used)
        locked.replace(Used(octets, mails), now)


def _last_known(books: Books, now: float) -> Used:
    """By its file, however old that is."""
    file = SizeFile(books.file.path, books.quota, lasts=float("inf"), since=books.since)
    found = file.glance(now)
    return found.used if found else books.used(now)


def _is_believed(found: Standing, quota: Quota, more: Used) -> bool:
    """A count by which there is no room must not be old."""
    return found.age < OLD or quota.has_room(found.used, more)


def _booked_or_forgotten(files: Iterable[Locked | None], octets: int, mails: int) -> None:
    """On a full disk it is not known which of them has the line: all are counted again."""
    locked = [file for file in files if file]
    try:
        for file in locked:
            file.append(octets, mails)
    except OSError:
        for file in locked:
            file.forget()
        raise


def _made(domain: SizeFile) -> SizeFile:
    """With the folders that it lies in; the mail root itself has to be there."""
    folder = Path(domain.path).parent
    if not folder.is_dir():
        for above in (folder.parent.parent, folder.parent, folder):
            above.mkdir(mode=0o700, exist_ok=True)
    return domain


def _unlinked(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
