"""The queue a Settler works on, on the real bus, and what workers write into it."""

from email import message_from_bytes, policy
from email.message import EmailMessage

from services.scheduler.settle import Settler
from tests.fakes import FakeClock
from tests.tubepost.telling import Told
from tubepost import lifecycle, subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import Domain
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Failed, Outcome
from tubepost.ports import CaughtUp
from tubepost.record import Envelope, Held, Record, Wish
from tubepost.retry import Rules
from tubepost.routing import route
from tubepost.setting import Setting
from tubepost.subjects import Key

SHARDS = 2
BODY = b"Subject: hello\r\n\r\nHi.\r\n"
LOCAL_DOMAINS = {"example.org"}
FAILED = Failed(text="550 no", status="5.1.1")


class Queue:
    """The queue a Settler works on, seen from outside."""

    def __init__(self, bus: NatsBus, clock: FakeClock) -> None:
        self.bus, self.clock, self.store = bus, clock, MailStore(bus, SHARDS)
        self.directory, self.control = Directory(bus), Control(bus, "mail.example.org")
        # As if its mirror had followed a change.
        self.directory._domains["example.org"] = Domain(
            "example.org"
        )  # as if its mirror had followed a change
        self.told = Told()
        self.settler = Settler(self.store, SHARDS, self.control, self.directory, clock, self.told)

    def told_of(self, *mails: str) -> list[str]:
        """What was told of these mails, by name."""
        return [event["event"] for event in self.told.events if event["mail"] in mails]

    async def accept(
        self,
        *to: str,
        mail_id: str = "m1",
        body: bytes = BODY,
        sender: str = "joe@example.org",
        notify: str = "",
        ret: str = "",
        envid: str = "",
    ) -> Key:
        routes = [route(address, LOCAL_DOMAINS) for address in to]
        wishes = {address: Wish(notify) for address in to} if notify else {}
        envelope = Envelope(sender, to, wishes, ret=ret, envid=envid)
        return await self.store.accept(envelope, routes, body, mail_id=mail_id, now=self.clock())

    async def attempt(self, key: Key, outcome: Outcome) -> None:
        """What a worker does at the end of a delivery."""
        held = await self.store.read(key)
        assert held
        outcomes = dict.fromkeys(held.record.waiting, outcome)
        now = self.clock()

        def change(record: Record) -> Record:
            return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

        await self.store.settle(held, change)

    def control_says(self, setting: Setting[int], value: int) -> None:
        """As if the mirror had followed a change."""
        self.control._parsed[setting.name] = value

    async def report(self, mail_id: str) -> EmailMessage:
        """What is in the queue under that id, read back."""
        [held] = [h for h in await self.all() if h.key.mail_id == mail_id]
        found = message_from_bytes(await self.store.body(held), policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found

    async def all(self) -> list[Held]:
        """Every record there is, by mail id and unit."""
        found = [held for shard in range(SHARDS) for held in await self._of(shard)]
        return sorted(found, key=lambda h: (h.key.mail_id, h.key.unit))

    async def _of(self, shard: int) -> list[Held]:
        keys = set()
        subject = subjects.queue_subjects(shard)
        async for item in self.bus.follow(subjects.queue_stream(shard), subject):
            if isinstance(item, CaughtUp):
                break
            keys.add(subjects.key_of(item.subject))
        return [held for key in keys if (held := await self.store.read(key))]

    async def chunks(self) -> int:
        count = 0
        async for item in self.bus.follow(subjects.MAIL, "mail.>"):
            if isinstance(item, CaughtUp):
                return count
            count += 1
        return count
