"""A whole local on a bus: directory, courier, worker; and whoever looks into the queue behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from services.local.courier import LocalCourier
from services.local.forwarding import Forwarding
from services.local.writer import Writer
from tests.conftest import PLAN
from tests.fakes import FakeClock
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.delivery import Mail, Worker
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Alias,
    Domain,
    Entry,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.events import NOBODY, Teller
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.outcome import Outcome
from tubepost.ports import Bus
from tubepost.record import Envelope, Held, State
from tubepost.resolver import Resolver
from tubepost.retry import Rules
from tubepost.routing import route
from tubepost.subjects import Key
from tubepost.tasks import background

PATIENCE = 10.0
BODY = b"Received: x\r\nSubject: hello\r\n\r\nHi.\r\n"
MAIL_ID = "m1".rjust(23, "0")
SENDER = "ann@far.example"


@dataclass
class Store(MailStore):
    """The queue, which fails as often as a test wants: before a mail is stored, or after."""

    bus: Bus
    before: list[BaseException] = field(default_factory=list)
    after: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.bus, PLAN.shards)

    async def accept(self, *args: object, **more: object) -> Key:
        if self.before:
            raise self.before.pop(0)
        key = await super().accept(*args, **more)  # type: ignore[arg-type]
        if self.after:
            raise self.after.pop(0)
        return key


class Local:
    """`deliver` asks the courier; `put` and `work` go through the queue, as in real life."""

    def __init__(self, bus: Bus, root: Path, events: Teller) -> None:
        self.bus, self.root, self.clock = bus, root, FakeClock()
        self.directory, self.control = Directory(bus), Control(bus, "mail.example.org")
        self.store, self.queue = Store(bus), MailStore(bus, PLAN.shards)
        self.writer = Writer(root)
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        forwarding = Forwarding(self.store, self.directory, self.control, self.clock, events)
        resolver = Resolver(self.directory, self.control, self.clock)
        self.courier = LocalCourier(resolver, root, self.writer, forwarding)

    def worker(self) -> Worker:
        return Worker(
            self.bus,
            self.queue,
            subjects.LOCAL,
            self.courier,
            slots=4,
            clock=self.clock,
            rules=lambda: Rules(604_800.0),
        )

    async def domain(self, name: str, **more: object) -> None:
        value = domain_value(Domain(name, **more))  # type: ignore[arg-type]
        await self.directory.seen(domain_key(name), await self._bucket.put(domain_key(name), value))

    async def add(self, entry: Entry) -> None:
        key = account_key(parse_address(entry.address))
        await self.directory.seen(key, await self._bucket.put(key, entry_value(entry)))

    async def alias(self, address: str, *to: str, owner: str = "", verp: bool = False) -> None:
        await self.add(Alias(address, to, owner, verp))

    async def account(self, address: str, *forward: str, keep: bool = True) -> None:
        await self.add(Account(address, address, "hash", forward=forward, keep=keep))

    async def deliver(
        self, *to: str, body: bytes = BODY, sender: str = SENDER, **more: object
    ) -> list[Outcome]:
        mail = Mail(Key(0, MAIL_ID, "0"), sender, to, "", body, 1, 1.7e9, **more)  # type: ignore[arg-type]
        return list((await self.courier.deliver(mail)).values())

    async def put(self, to: str, *, sender: str = SENDER, mail_id: str = "0" * 22 + "a") -> Held:
        """A mail for one recipient, as smtpd takes it."""
        where = [route(to, self.directory.domains)]
        key = await self.queue.accept(
            Envelope(sender, (to,)), where, BODY, mail_id=mail_id, now=self.clock()
        )
        return await self.held(key)

    async def held(self, key: Key) -> Held:
        found = await self.queue.read(key)
        assert found is not None
        return found

    async def attempt(self, held: Held) -> None:
        """Hands the mail out, as a scheduler does, and waits for the end of the job."""
        job = held.key.job(subjects.LOCAL)
        await self.bus.append(job, subjects.job(held.seq), expect=0)
        async with asyncio.timeout(PATIENCE):
            while await self.bus.read(subjects.DISPATCH, job, leader=True):  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # an ack tells nobody that it came

    async def queued(self) -> list[Held]:
        """Everything that is in the queue."""
        names = [
            name
            for shard in range(PLAN.shards)
            for name in await self.bus.subjects(subjects.queue_stream(shard), "q.>")
        ]
        return [await self.held(subjects.key_of(name)) for name in names]

    async def work(self, most: int = 20) -> list[Held]:
        """Delivers what is local and waits, until nothing does; what is left then."""
        for _ in range(most):
            left = await self.queued()
            due = [
                held
                for held in left
                if held.record.state is State.PENDING and held.record.channel == subjects.LOCAL
            ]
            if not due:
                return left
            for held in due:
                await self.attempt(held)
        raise AssertionError(f"it goes round and round: {[held.key for held in due]}")

    def mails(self, address: str) -> list[Path]:
        return [path for path in (self.root / address).glob("Maildir/*/*") if path.is_file()]


@contextlib.asynccontextmanager
async def running(bus: Bus, root: Path, events: Teller = NOBODY) -> AsyncIterator[Local]:
    """example.org, with joe and ann; other.example is another name of it."""
    local, stopping = Local(bus, root, events), asyncio.Event()
    async with background(local.control.run(), local.directory.run(), local.writer.run()):
        async with asyncio.timeout(PATIENCE):
            await local.control.mirror.loaded.wait()
            await local.directory.loaded()
        await local.domain("example.org")
        await local.domain("other.example", alias_of="example.org")
        for name in ("joe", "ann"):
            await local.account(f"{name}@example.org")
        working = asyncio.create_task(local.worker().run(stopping))
        yield local
        stopping.set()
        await asyncio.wait_for(working, PATIENCE)
