"""A scheduler, several workers and peers that count, on a real bus: is there one gate only?"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.site import SiteAnswers
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits
from services.scheduler.site_questions import SiteQuestions
from tests.dns_server import DnsServer
from tests.nats_server import NatsServer
from tests.remote.smtp_peer import GREETING, MemoryPeer
from tubepost import subjects
from tubepost.control import Control
from tubepost.delivery import Worker
from tubepost.destination_limits import parse
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.ports import Clock
from tubepost.record import Envelope
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.subjects import LOCAL, REMOTE, Key
from tubepost.tasks import background

SHARDS = 2


class CountingPeer:
    """Answers a mail once `together` of them wait for an answer; `most`: how many ever did."""

    def __init__(self, together: int = 1) -> None:
        self.together = together
        self.connections = self.mails = self.most = 0
        self._waiting = 0
        self._go = asyncio.Event()

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        peer = MemoryPeer()
        writer.write(GREETING)
        while data := await reader.read(65536):
            before = len(peer.bodies)
            answer = peer.take(data)
            if len(peer.bodies) > before:
                await self._take(peer)
            writer.write(answer)
            await writer.drain()

    async def _take(self, peer: MemoryPeer) -> None:
        self.mails += 1
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        go = self._go
        if self._waiting >= self.together:
            for _ in range(100):  # whoever is beyond the limit has time to come
                await asyncio.sleep(0)
            self._go = asyncio.Event()
            go.set()
        await go.wait()
        self._waiting -= 1


class Turning:
    """A peer that refuses to talk."""

    def __init__(self) -> None:
        self.connections = 0

    async def handler(self, _reader: object, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"421 too many connections\r\n")


class Gate:
    """`owners` hand out under `lines` of `destinations`, `healths` are those of the workers."""

    def __init__(self, bus: NatsBus, clock: Clock, *lines: str) -> None:
        self.clock = clock
        self.bus, self.store, self.control = bus, MailStore(bus, SHARDS), Control(bus, "me.example")
        self.questions = SiteQuestions(bus, clock)
        self._limits = Limits({LOCAL: 9, REMOTE: 100}, parse(lines), sites=self.questions.sites)
        self.questions.sites.apply(self._limits.destinations, SHARDS, SHARDS)
        settler = Settler(self.store, SHARDS, self.control, Directory(bus), clock)
        self.owners = [
            Owner(bus, n, settler, clock=clock, limits=lambda: self._limits, wanted=lambda: None)
            for n in range(SHARDS)
        ]
        self.healths: list[SharedHealth] = []
        self._sent = 0

    async def hear(self, _subject: str, data: bytes) -> None:
        key, seq = subjects.parse_hint(data)
        self.owners[key.shard].gone(key, seq)

    def worker(self, bus: NatsBus, zone: DnsServer, port: int) -> tuple[Worker, RemoteCourier]:
        health = SharedHealth(bus, self.clock, lambda: 3600.0)
        self.healths.append(health)
        courier = RemoteCourier(
            plan=planner(Control(bus, "me.example")),
            resolver=DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0),
            pool=Pool(),
            health=health,
            port=port,
        )
        store = MailStore(bus, SHARDS)
        worker = Worker(bus, store, REMOTE, courier, slots=50, clock=self.clock, rules=Rules)
        return worker, courier

    async def send(self, destination: str, mails: int) -> None:
        """Into the queue."""
        for _ in range(mails):
            self._sent += 1
            envelope = Envelope("joe@example.org", (f"ann@{destination}",))
            routes, mail_id = [Route(REMOTE, destination)], f"018bcfe56800000000{self._sent:04x}"
            body, now = b"Subject: hi\r\n\r\nHi.\r\n", self.clock()
            await self.store.accept(envelope, routes, body, mail_id=mail_id, now=now)

    @property
    def attempted(self) -> Mapping[Key, int]:
        """What is still in the queue, and how often it was tried."""
        units = (unit for owner in self.owners for unit in owner.shard.units.values())
        return {unit.key: unit.record.attempts for unit in units}

    def all_know(self, ip: str, port: int) -> bool:
        return all(health.opens(Host("", ip, port)) for health in self.healths)


@contextlib.asynccontextmanager
async def gate(
    bus: NatsBus,
    server: NatsServer,
    zone: DnsServer,
    port: int,
    lines: Sequence[str],
    clock: Clock = time.time,
) -> AsyncIterator[Gate]:
    """Three workers, each with a connection to the bus of its own."""
    made, stopping = Gate(bus, clock, *lines), asyncio.Event()
    await bus.answer(subjects.DONE_HINT_ANY, made.hear)
    async with contextlib.AsyncExitStack() as stack:
        runs = [made.questions.run(), *(owner.run() for owner in made.owners)]
        working = []
        for _ in range(3):
            own = await server.connect()
            stack.push_async_callback(own.close)
            worker, courier = made.worker(own, zone, port)
            await SiteAnswers(courier, made.healths[-1]).listen(own)
            runs.append(made.healths[-1].run())
            working.append(worker.run(stopping))
        async with background(*runs):
            tasks = [asyncio.create_task(each) for each in working]
            try:
                await until(lambda: all(owner.loaded for owner in made.owners))
                yield made
            finally:
                stopping.set()
                await asyncio.gather(*tasks)


async def until(so: Callable[[], object]) -> None:
    """For what sends no event."""
    async with asyncio.timeout(30):
        while not so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
