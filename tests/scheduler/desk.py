"""An operator's desk: two owners that follow their shards and send nothing, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from services.scheduler.actions import Actions, Done, Order
from services.scheduler.filters import Filter
from services.scheduler.mails import Mails
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits
from services.scheduler.views import Views
from tests.fakes import FakeClock
from tests.tubepost.telling import Told
from tubepost import subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.pauses import Pauses
from tubepost.ports import Bus
from tubepost.record import Envelope, Held, Note
from tubepost.routing import route
from tubepost.subjects import LOCAL, REMOTE, Key
from tubepost.tasks import background

SHARDS = 2
OURS = {"example.org"}
BODY = b"Subject: hello\r\nX-Two: lines\r\n\r\nHi.\r\n"
JOE = "joe@example.org"
FAR = "ann@far.example"


class Desk:
    """What a test waits for has ten seconds."""

    def __init__(self, bus: Bus, clock: FakeClock) -> None:
        self.bus, self.clock, self.store = bus, clock, MailStore(bus, SHARDS)
        self.control, self.directory = Control(bus, "mail.example.org"), Directory(bus)
        self.limits = Limits({LOCAL: 0, REMOTE: 0})
        self.pauses = Pauses(bus)
        self.told = Told()
        settler = Settler(self.store, SHARDS, self.control, self.directory, clock)
        self.owners = {
            shard: Owner(
                bus, shard, settler, clock=clock, limits=lambda: self.limits, wanted=lambda: None
            )
            for shard in range(SHARDS)
        }
        self.views = Views(bus, SHARDS, self.owners)
        self.mails = Mails(self.store, self.views)
        self.actions = Actions(self.store, self.mails, self.views, clock, self.told)

    async def hear(self, _subject: str, data: bytes) -> None:
        """As services.scheduler.app does."""
        key, seq = subjects.parse_hint(data)
        self.owners[key.shard].gone(key, seq)
        for owner in self.owners.values():
            owner.unit_ended(key)

    def note(self, why: str = "because") -> Note:
        return Note("joe", why, self.clock())

    async def accept(self, mail_id: str, *to: str, body: bytes = BODY, sender: str = JOE) -> Key:
        """A mail in the queue, and in its owner's memory."""
        to = to or (FAR,)
        routes = [route(address, OURS) for address in to]
        envelope, now = Envelope(sender, to), self.clock()
        key = await self.store.accept(envelope, routes, body, mail_id=mail_id, now=now)
        await self.until(lambda: key in self.owners[key.shard].shard.units)
        return key

    async def split(self, mail_id: str) -> list[Key]:
        """A mail for two destinations, once it is split."""
        whole = await self.accept(mail_id, FAR, "bob@other.example")
        keys = [
            Key(subjects.shard_of(REMOTE, domain, mail_id, SHARDS), mail_id, unit)
            for unit, domain in (("0", "far.example"), ("1", "other.example"))
        ]
        await self.until(lambda: all(key in self.owners[key.shard].shard.units for key in keys))
        await self.until(lambda: self.remembered(whole) is not None)
        return [*keys, whole]

    def remembered(self, key: Key) -> Held | None:
        """What an owner knows."""
        return self.owners[key.shard].shard.units.get(key)

    async def read(self, key: Key) -> Held:
        found = await self.store.read(key)
        assert found is not None
        return found

    async def do(self, action: str, mail_id: str) -> Done:
        return await self.actions.on_mail(Order(action, self.note()), mail_id)

    async def do_all(self, action: str, chosen: Filter) -> Done:
        """Slice after slice; the sum."""
        total, cursor = Done(), ""
        while True:
            done = await self.actions.on_matching(Order(action, self.note()), chosen, cursor)
            total.matched += done.matched
            total.changed += done.changed
            total.unchanged += done.unchanged
            if done.next is None:
                return total
            cursor = done.next

    def settle_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The owners leave splits and bounces unmade, so that a test can look at the records."""

        async def nothing(_key: Key) -> bool:
            return True

        for owner in self.owners.values():
            monkeypatch.setattr(owner._settler, "settle", nothing)

    async def bodies(self) -> list[str]:
        return await self.bus.subjects(subjects.MAIL, "mail.>")

    async def until(self, so: Callable[[], object]) -> None:
        """Returns once it is so; for what sends no event."""
        async with asyncio.timeout(10):
            while not so():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def at_work(bus: Bus, clock: FakeClock) -> AsyncIterator[Desk]:
    """A desk whose owners run."""
    desk = Desk(bus, clock)
    await bus.answer(subjects.DONE_HINT_ANY, desk.hear)
    await bus.answer(subjects.VIEW_ANY, desk.views.answer)
    runs = [owner.run() for owner in desk.owners.values()]
    async with background(desk.pauses.run(), *runs):
        await desk.until(lambda: all(owner.loaded for owner in desk.owners.values()))
        await desk.pauses.mirror.loaded.wait()
        yield desk
