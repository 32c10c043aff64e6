"""Mailboxes with quotas on real folders, and local's parts that deliver into them."""

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from services.local.maildir import Parcel, deliver, file_name
from services.local.quotas import Quotas
from services.local.room import Room
from tests.fakes import FakeClock
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Domain,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.keyed import Bucket
from tubepost.outcome import Outcome
from tubepost.ports import Bus
from tubepost.quota import ANY, Quota
from tubepost.tasks import background

DOMAIN = "example.net"


@dataclass
class Scene:
    """example.net in a mail root. `broken`: what the disk says to each mail from now on."""

    bus: Bus
    root: Path
    clock: FakeClock
    directory: Directory
    control: Control
    broken: OSError | None = None
    _count: int = 0
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def __post_init__(self) -> None:
        self.quotas = Quotas(
            self.bus, self.directory, self.control, self.root, self.write, self.clock
        )
        self.room = Room(self.directory, self.root, self.quotas)

    async def write(self, parcel: Parcel) -> OSError | None:
        """As the writer does."""
        return self.broken or deliver([parcel], self.root)[0]

    async def set_domain(self, quota: Quota = ANY, since: float = 0.0) -> None:
        bucket, key = Bucket(self.bus, subjects.DIRECTORY), domain_key(DOMAIN)
        value = domain_value(Domain(DOMAIN, quota=quota, quota_since=since))
        await self.directory.seen(key, await bucket.put(key, value))

    async def account(self, name: str, quota: Quota = ANY, since: float = 0.0) -> Account:
        """Added, or changed."""
        address, home = f"{name}@{DOMAIN}", f"homes/{name}"
        found = Account(address, home, "no hash", quota=quota, quota_since=since)
        bucket = Bucket(self.bus, subjects.DIRECTORY)
        key = account_key(parse_address(found.address))
        await self.directory.seen(key, await bucket.put(key, entry_value(found)))
        return found

    def parcel(self, account: Account, octets: int = 100) -> Parcel:
        """A mail that is not like the others."""
        self._count += 1
        content = b"x" * (octets - 1) + b"\n"
        folder = self.root / account.home / "Maildir"
        return Parcel(folder, file_name(self.clock(), f"m{self._count}", "0", content), content)

    async def deliver(self, account: Account, octets: int = 100) -> OSError | Outcome | None:
        return await self.quotas.put(account, self.parcel(account, octets))

    def maildir(self, account: Account) -> Path:
        return self.root / account.home / "Maildir"

    def mails(self, account: Account) -> list[Path]:
        return sorted(self.maildir(account).glob("new/*"))

    def size_file(self, account: Account) -> list[str]:
        """The lines of its maildirsize."""
        return (self.maildir(account) / "maildirsize").read_text().splitlines()

    def marks(self, account: Account) -> list[Path]:
        return sorted(self.maildir(account).glob("tmp/*"))


@contextlib.asynccontextmanager
async def scene_on(bus: Bus, root: Path) -> AsyncIterator[Scene]:
    """All parts run."""
    directory, control = Directory(bus), Control(bus, "mail.example.org")
    async with background(directory.run(), control.run()):
        await directory.loaded()
        await control.mirror.loaded.wait()
        scene = Scene(bus, root, FakeClock(), directory, control)
        async with background(scene.quotas.run()):
            await scene.set_domain()
            yield scene
