"""popauth's directory on a bus, with quick password hashes: what the tests of its wiring share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher

from services.popauth.accounts import Accounts
from services.popauth.passwords import Passwords
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.ports import Bus
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


@dataclass(slots=True)
class Office:
    """All that popauth's parts are made of."""

    bus: Bus
    control: Control
    directory: Directory
    passwords: QuickPasswords
    accounts: Accounts


@contextlib.asynccontextmanager
async def office(bus: Bus) -> AsyncIterator[Office]:
    """As services/popauth/app.py puts it together."""
    control, directory = Control(bus, "mail.example"), Directory(bus)
    passwords = QuickPasswords()
    async with background(control.run(), directory.run()):
        await asyncio.wait_for(control.mirror.loaded.wait(), PATIENCE)
        await asyncio.wait_for(directory.loaded(), PATIENCE)
        try:
            yield Office(bus, control, directory, passwords, Accounts(bus, directory, passwords))
        finally:
            passwords.close()
