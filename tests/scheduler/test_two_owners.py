"""Two owners of one shard, for a moment or longer: every attempt is made once all the same."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from services.scheduler import owner as module
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits
from tests.fakes import FakeClock
from tests.nats_server import NatsServer
from tubepost import delivery, subjects
from tubepost.control import Control
from tubepost.delivery import Mail, Worker
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.record import Envelope
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.tasks import background

MAILS = 120
SEVERAL = ("ann@far.example", "bob@other.example", "eve@third.example")


class Peer:
    """Defers each recipient once, then takes it; counts what it is given."""

    def __init__(self) -> None:
        self.given: Counter[tuple[str, str]] = Counter()
        self.taken: Counter[tuple[str, str]] = Counter()

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        await asyncio.sleep(0)
        return {to: self._outcome(mail, to) for to in mail.recipients}

    def _outcome(self, mail: Mail, to: str) -> Outcome:
        self.given[mail.key.mail_id, to] += 1
        if mail.attempt == 1:
            return Deferred(text="451 later")
        self.taken[mail.key.mail_id, to] += 1
        return Delivered(text="ok")


def owner_on(bus: NatsBus, clock: FakeClock) -> Owner:
    control, directory = Control(bus, "mail.example.org"), Directory(bus)
    settler = Settler(MailStore(bus, 1), 1, control, directory, clock)
    limits = Limits({subjects.LOCAL: 20, subjects.REMOTE: 20})
    return Owner(bus, 0, settler, clock=clock, limits=lambda: limits, wanted=lambda: None)


async def hearing(bus: NatsBus, owner: Owner) -> None:
    async def hint(_subject: str, data: bytes) -> None:
        key, seq = subjects.parse_hint(data)
        owner.gone(key, seq)
        owner.unit_ended(key)

    await bus.answer(subjects.DONE_HINT_ANY, hint)


async def accept_all(store: MailStore, clock: FakeClock) -> Counter[tuple[str, str]]:
    """Single mails, and every tenth one for several destinations; who is to get what."""
    wanted: Counter[tuple[str, str]] = Counter()
    for number in range(MAILS):
        to = SEVERAL if number % 10 == 0 else SEVERAL[:1]
        routes = [Route(subjects.REMOTE, address.partition("@")[2]) for address in to]
        name = f"m{number}"
        await store.accept(
            Envelope("joe@here.example", to), routes, b"x\r\n", mail_id=name, now=clock()
        )
        wanted.update((name, address) for address in to)
    return wanted


async def test_no_attempt_is_made_twice(
    bus: NatsBus, nats_server: NatsServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (module, delivery):
        monkeypatch.setattr(place, "ASK_WORKERS", 0.1)
    peer, stopping, store = Peer(), asyncio.Event(), MailStore(bus, 1)
    worker = Worker(bus, store, subjects.REMOTE, peer, slots=20, clock=clock, rules=Rules)
    buses = [await nats_server.connect() for _ in range(2)]
    owners = [owner_on(each, clock) for each in buses]
    for each, owner in zip(buses, owners, strict=True):
        await hearing(each, owner)
    working = asyncio.create_task(worker.run(stopping))
    async with background(*(owner.run() for owner in owners)):
        wanted = await accept_all(store, clock)
        await until_so(clock, lambda: peer.given.total() >= wanted.total())
        clock.advance(3600)
        for owner in owners:
            owner.wake()
        await until_empty(bus)
    stopping.set()
    await working
    assert peer.taken == wanted
    assert peer.given == wanted + wanted
    for each in buses:
        await each.close()


async def until_empty(bus: NatsBus) -> None:
    """Returns when the queue is; a purge tells nobody."""
    async with asyncio.timeout(40):
        while await bus.subjects("QUEUE_0", ">"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_so(clock: FakeClock, condition: Callable[[], bool]) -> None:
    """Returns once it is so; some time passes meanwhile: units wait for their mail to be split."""
    async with asyncio.timeout(40):
        while not condition():
            clock.advance(0.02)
            await asyncio.sleep(0.02)
