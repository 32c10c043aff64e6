"""Puts mails into mailboxes that have a quota, or whose domain has one: books, writes, settles.

A mailbox without a quota pays nothing for this: its mail goes straight to the writer.
"""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

from services.local import folders, maildir, quota_warning
from services.local.domain_counts import DomainCounts
from services.local.maildir import Parcel
from tubepost import local_values, maillog, smtp_values
from tubepost.bookings import Booked, Books, NoRoom, Uncounted, books_of
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import Account
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.ports import Bus, Clock
from tubepost.quota import Used

Put = Callable[[Parcel], Awaitable[OSError | None]]
T = TypeVar("T")

THREADS = 4

PATIENCE = 30.0
"""Seconds after which a file system is considered hanging. What it still does is found booked."""

TOO_BIG = "mail is bigger than the quota of the {} (#5.2.3)"
"""Whatever `overquota` says: waiting would not help."""


class Quotas:
    """`put`: what writes a parcel. `run` counts domains, for ever."""

    def __init__(
        self,
        bus: Bus,
        directory: Directory,
        control: Control,
        root: Path,
        put: Put,
        clock: Clock = time.time,
    ) -> None:
        self._directory, self._control, self._root = directory, control, root
        self._put, self._clock = put, clock
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="quota")
        self._counts = DomainCounts(bus, directory, root, self._pool, clock)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Counts domains that have to be."""
        await self._counts.run()

    async def put(
        self, account: Account, parcel: Parcel, *, again: bool = False
    ) -> OSError | Outcome | None:
        """None: it is durably there. An Outcome: there is no room. Else what stopped it.

        `again`: an earlier try may have delivered it.
        """
        domain = self._directory.domain(account.address.rpartition("@")[2])
        books = books_of(account, domain, self._root)
        if books is None:
            return await self._put(parcel)
        now = self._clock()
        reserve = partial(_reserve, books, parcel, now, root=self._root, again=again)
        try:
            booked = await self._reserve(books, account, reserve)
        except OSError as error:
            return error
        if not isinstance(booked, Booked):
            return booked
        trouble = await self._written(books, parcel, booked)
        if trouble is None:
            await self._warn(account, books, booked.used)
        return trouble

    async def used(self, account: Account) -> tuple[Used, Used | None]:
        """What an account holds, and its domain, where that has a quota and has been counted."""
        domain = self._directory.domain(account.address.rpartition("@")[2])
        books = books_of(account, domain, self._root)
        if books is None:
            books = Books(f"{self._root}/{account.home}/Maildir", account.quota)
            return await self._in_thread(partial(books.counted, self._clock())), None
        used = await self._in_thread(partial(books.used, self._clock()))
        of_domain, sure = await self._in_thread(partial(books.used_by_domain, self._clock()))
        if domain and not sure:
            self._counts.ask(domain.name)
        return used, of_domain

    async def _reserve(
        self, books: Books, account: Account, reserve: Callable[[], Booked | NoRoom | Uncounted]
    ) -> Booked | Outcome:
        domain = account.address.rpartition("@")[2]
        found = await self._alone(books, reserve)
        if isinstance(found, Uncounted):
            await self._counts.counted(domain)
            found = await self._alone(books, reserve)
        match found:
            case Booked():
                return found
            case NoRoom():
                return self._no_room(found)
            case Uncounted():
                text = f"The mails of {domain} are being counted for its quota. (#4.3.0)"
                return Deferred(text=text, status="4.3.0")

    async def _alone(self, books: Books, work: Callable[[], T]) -> T:
        """Not two threads of ours wait for the lock of one mailbox, or domain."""
        key = books.domain.path if books.domain else books.maildir
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            return await self._in_thread(work)

    def _no_room(self, found: NoRoom) -> Outcome:
        if found.ever:
            return Failed(text=TOO_BIG.format(found.of), status="5.2.3")
        if self._control.get(smtp_values.OVERQUOTA) == "refuse":
            return Failed(text=f"{found.of} is over quota (#5.2.2)", status="5.2.2")
        return Deferred(text=f"{found.of} is over quota (#4.2.2)", status="4.2.2")

    async def _written(self, books: Books, parcel: Parcel, booked: Booked) -> OSError | None:
        error = await self._put(parcel)
        if error and error.errno == errno.ETIMEDOUT:
            return error  # it may be written all the same: the next try finds it booked
        size, written = len(parcel.content), error is None
        settle = partial(books.settle, parcel.name, size, booked, written=written)
        try:
            await self._in_thread(settle)
        except OSError as trouble:  # the mail is there, or is not; that stays so
            maillog.quota_failed(books.maildir, str(trouble))
        return error

    async def _warn(self, account: Account, books: Books, used: Used) -> None:
        """Whatever goes wrong here, the mail that brought us here is delivered."""
        percent = quota_warning.percent(used, account.quota)
        limit = self._control.get(local_values.QUOTAWARNING)
        if not limit or percent < limit:
            return
        try:
            if await self._in_thread(partial(quota_warning.is_due, books, self._clock())):
                await self._send_warning(account, books, percent)
        except OSError as error:
            maillog.quota_failed(account.address, f"no warning: {error}")

    async def _send_warning(self, account: Account, books: Books, percent: int) -> None:
        now, sender = self._clock(), self._control.bounce_sender
        text = self._control.get(local_values.QUOTAWARNMESSAGE)
        content = quota_warning.mail(account.address, sender, text, percent, now)
        name = maildir.file_name(now, f"quotawarn-{percent}", "0", content)
        parcel = Parcel(Path(books.maildir), name, content)
        reserve = partial(books.reserve, name, len(content), now, anyhow=True)
        booked = await self._alone(books, reserve)
        if isinstance(booked, Booked):
            error = await self._written(books, parcel, booked)
            if error:
                raise error
            maillog.quota_warned(account.address, percent)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                return await loop.run_in_executor(self._pool, work)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "the file system does not answer") from error


def _reserve(
    books: Books, parcel: Parcel, now: float, *, root: Path, again: bool
) -> Booked | NoRoom | Uncounted:
    size = len(parcel.content)
    try:
        return books.reserve(parcel.name, size, now, again=again)
    except FileNotFoundError:
        root.stat()  # one that is not mounted is not made
        folders.make(parcel.maildir, root)
        return books.reserve(parcel.name, size, now)
