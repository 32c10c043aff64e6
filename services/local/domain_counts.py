"""Counts what the mails of a domain take, over all its accounts: one domain at a time.

Deliveries book into the domain's file and never walk; it is counted where there is no such file
yet, or where there is no room by an old one (VDM-10).
"""

import asyncio
import contextlib
import time
from concurrent.futures import Executor
from pathlib import Path

from tubepost import maillog, subjects
from tubepost.bookings import Books, books_of, count_domain, domain_file
from tubepost.directory import Directory
from tubepost.directory_values import Account, UnreadableEntry, address_in, entry_of
from tubepost.errors import Unavailable
from tubepost.keyed import Value, quoted, value_in
from tubepost.ports import Bus, CaughtUp, Clock

PATIENCE = 10.0
"""Seconds a delivery waits for a count."""


class DomainCounts:
    """`run` counts what was asked for, for ever."""

    def __init__(
        self, bus: Bus, directory: Directory, root: Path, pool: Executor, clock: Clock = time.time
    ) -> None:
        self._bus, self._directory, self._root = bus, directory, root
        self._pool, self._clock = pool, clock
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._next: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, domain: str) -> "asyncio.Future[None]":
        """Done when the domain has been counted, or could not be."""
        if domain not in self._asked:
            self._asked[domain] = asyncio.get_running_loop().create_future()
            self._next.put_nowait(domain)
        return self._asked[domain]

    async def counted(self, domain: str) -> None:
        """As `ask`; returns after PATIENCE at the latest."""
        await asyncio.wait([self.ask(domain)], timeout=PATIENCE)

    async def run(self) -> None:
        """One after the other."""
        while True:
            domain = await self._next.get()
            try:
                await self._count(domain)
            except (OSError, Unavailable) as error:
                maillog.quota_failed(domain, str(error))
            finally:
                self._asked.pop(domain).set_result(None)

    async def _count(self, name: str) -> None:
        domain = self._directory.domain(name)
        if not domain or not domain.quota:
            return
        file = domain_file(self._root, name, domain.quota, domain.quota_since)
        books = await self._books(name)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, count_domain, file, books, self._clock())

    async def _books(self, name: str) -> list[Books]:
        """Of all accounts there are now."""
        prefix = subjects.bucket_key(subjects.DIRECTORY, "")
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        domain, found = self._directory.domain(name), dict[str, Books]()
        of_domain = f"{prefix}account.{quoted(name)}.*"
        async with contextlib.aclosing(self._bus.follow(stream, of_domain)) as items:
            async for item in items:
                if isinstance(item, CaughtUp):
                    break
                account = _account(item.subject.removeprefix(prefix), value_in(item))
                books = books_of(account, domain, self._root) if account else None
                found.pop(item.subject, None)
                if books:
                    found[item.subject] = books
        return list(found.values())


def _account(key: str, value: Value | None) -> Account | None:
    """None for what is no account, or is there no longer."""
    try:
        entry = entry_of(address_in(key), value) if value is not None else None
    except UnreadableEntry:
        return None
    except (KeyError, ValueError, TypeError) as error:
        raise Unavailable(f"{key}: {error!r}") from error
    return entry if isinstance(entry, Account) else None
