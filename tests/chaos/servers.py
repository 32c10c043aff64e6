"""The nats-servers of a chaos run: one, or a cluster of three; what is in their streams.

Users and rights are the embedded server's (ctl.embedded), and so is `sync_interval: always`.
"""

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
from nats.js import JetStreamContext

from ctl import embedded
from tests.chaos.processes import NotReady, Process
from tests.nats_server import binary
from tubepost import subjects
from tubepost.mailstore import held
from tubepost.nats_bus import NatsBus
from tubepost.permissions import rights
from tubepost.ports import Stored
from tubepost.record import Fate, State, UnreadableRecord

SHARDS = 2
PORTS = (20_000, 32_000)
"""Below what Linux takes for outgoing connections: the port of a dead server stays free."""

HEALTHY_WITHIN = 60.0


class Servers:
    """`names[i]` listens for clients on `ports[i]`, for health checks on `monitors[i]`."""

    def __init__(self, folder: Path, logs: Path, count: int) -> None:
        self.passwords = {service: secrets.token_urlsafe(16) for service in rights(SHARDS)}
        ports = free_ports(3 * count)
        self._ports, self._monitors, routes = ports[:count], ports[count:-count], ports[-count:]
        self.processes: list[Process] = []
        for n in range(count):
            home = folder / f"nats-{n + 1}"
            home.mkdir()
            config = self._config(home, n, routes)
            (home / "nats.conf").write_text(json.dumps(config, indent=1))
            command = [binary(), "-c", str(home / "nats.conf")]
            log = logs / f"nats-{n + 1}.log"
            self.processes.append(Process(f"nats-{n + 1}", command, log, speaks=False))

    def _config(self, home: Path, n: int, routes: Sequence[int]) -> dict[str, object]:
        config = embedded.configuration(home, self._ports[n], self.passwords, SHARDS)
        config |= {"server_name": f"n{n + 1}", "http": f"127.0.0.1:{self._monitors[n]}"}
        if len(routes) > 1:
            config["cluster"] = {
                "name": "chaos",
                "listen": f"127.0.0.1:{routes[n]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in routes],
            }
        return config

    @property
    def url(self) -> str:
        """Of all, with commas between."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self._ports)

    async def healthy(self, seconds: float = HEALTHY_WITHIN) -> None:
        """Returns when every server says that its streams are whole and current. NotReady."""
        try:
            async with asyncio.timeout(seconds), httpx.AsyncClient() as http:
                for port in self._monitors:
                    await _healthy(http, port)
        except TimeoutError:
            raise NotReady(f"the nats-servers are not healthy after {seconds:g} s") from None


async def _healthy(http: httpx.AsyncClient, port: int) -> None:
    while True:
        with contextlib.suppress(httpx.HTTPError):  # not there yet
            if (await http.get(f"http://127.0.0.1:{port}/healthz")).is_success:
                return
        await asyncio.sleep(0.1)  # a server tells nobody when it has caught up


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    found: list[int] = []
    for port in Random().sample(range(*PORTS), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise NotReady(f"no {count} free ports in {PORTS}")


@dataclass(frozen=True, slots=True)
class Left:
    """A record still in the queue. `waiting`: recipients that are not settled."""

    key: str
    mail_id: str
    state: str
    waiting: tuple[str, ...]
    attempts: int = 0
    last: str = ""


class Streams:
    """A look into the streams, with the scheduler's rights."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._js: JetStreamContext = bus.client.jetstream(timeout=5)

    async def counts(self) -> dict[str, int]:
        """Messages by stream. Raises nats.errors while the bus is away."""
        names = [*map(subjects.queue_stream, range(SHARDS)), subjects.DISPATCH, subjects.MAIL]
        infos = [await self._js.stream_info(name) for name in names]
        return {name: info.state.messages for name, info in zip(names, infos, strict=True)}

    async def bodies(self) -> set[str]:
        """Ids of the mails with pieces of a body in MAIL."""
        info = await self._js.stream_info(subjects.MAIL, subjects_filter=">")
        return {subject.split(".")[1] for subject in info.state.subjects or {}}

    async def records(self) -> list[Left]:
        """What the queue still holds."""
        found = []
        for shard in range(SHARDS):
            stream = subjects.queue_stream(shard)
            info = await self._js.stream_info(stream, subjects_filter=">")
            for subject in info.state.subjects or {}:
                stored = await self._bus.read(stream, subject, leader=True)
                if stored:
                    found.append(_left(stored))
        return found


def _left(stored: Stored) -> Left:
    key = subjects.key_of(stored.subject)
    try:
        record = held(stored).record
    except UnreadableRecord as error:
        return Left(str(key), key.mail_id, "unreadable", (), last=str(error))
    waiting = [r for r in record.recipients if r.fate in (Fate.WAITING, Fate.FAILED)]
    if record.state is State.SPLIT:
        return Left(str(key), key.mail_id, record.state, ("*",))
    last = waiting[0].reply if waiting else ""
    addresses = tuple(r.address for r in waiting)
    return Left(str(key), key.mail_id, record.state, addresses, record.attempts, last)


@asynccontextmanager
async def streams(servers: Servers) -> AsyncIterator[Streams]:
    """A connection of the runner's own."""
    bus = await NatsBus.connect(
        servers.url.split(","),
        name="chaos",
        user="scheduler",
        password=servers.passwords["scheduler"],
    )
    try:
        yield Streams(bus)
    finally:
        await bus.close()
