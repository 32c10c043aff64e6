"""popauth's directory on a bus, with quick password hashes: what the tests of its wiring share."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher

from services.popauth.accounts import Accounts
from services.popauth.desk import Desk, desk
from services.popauth.domains import Domains
from services.popauth.passwords import Passwords
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.ports import Bus, Clock
from tubepost.tasks import background

PATIENCE = 10.0


class QuickPasswords(Passwords):
    """argon2id with the least work there is. `checked`: the hashes a password was held against."""

    def __init__(self) -> None:  # Passwords.__init__ already makes a slow one
        self._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self._pool = ThreadPoolExecutor(1)
        self.nobody = self._nobody = self._hasher.hash("nobody has this password")
        self.checked: list[str] = []

    def _matches(self, stored: str, password: str) -> bool:
        self.checked.append(stored)
        return super()._matches(stored, password)


class Books(Accounts):
    """Accounts, and the domains they are in."""

    def __init__(self, bus: Bus, directory: Directory, passwords: Passwords) -> None:
        super().__init__(bus, directory, passwords)
        domains = Domains(self.addresses, directory)
        self.add_domain, self.remove_domain = domains.add, domains.remove


@dataclass(slots=True)
class Office:
    """All that popauth's parts are made of."""

    bus: Bus
    control: Control
    directory: Directory
    passwords: QuickPasswords
    accounts: Books
    desk: Desk


@contextlib.asynccontextmanager
async def office(bus: Bus, clock: Clock = time.time) -> AsyncIterator[Office]:
    """As services/popauth/app.py puts it together."""
    control, directory = Control(bus, "mail.example"), Directory(bus)
    passwords = QuickPasswords()
    parts = desk(bus, directory, control, passwords, clock)
    books = Books(bus, directory, passwords)
    async with background(control.run(), directory.run(), parts.tokens.mirror.run()):
        await asyncio.wait_for(control.mirror.loaded.wait(), PATIENCE)
        await asyncio.wait_for(directory.loaded(), PATIENCE)
        await asyncio.wait_for(parts.tokens.mirror.loaded.wait(), PATIENCE)
        try:
            yield Office(bus, control, directory, passwords, books, parts)
        finally:
            passwords.close()
