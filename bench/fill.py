"""Fills the queue of a stopped platform: a nats-server on its data without fsync, fast writers.

Must not run beside the platform: the measured part has `sync_interval: always` again.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoServersError

from bench import records
from bench.peers import BenchError
from bench.platform import Platform
from tubepost import record
from tubepost.record import Record
from tubepost.subjects import Key

WINDOW = 2000
"""Writes on the way at once."""

STALLED = 60.0
STARTS_WITHIN = 60.0
USER = "bench"


def fill(platform: Platform, count: int, kind: records.Kind) -> float:
    """Writes `count` mails into the queue of a stopped platform; the seconds it took.

    Raises BenchError.
    """
    began = time.monotonic()
    made = records.make(count, kind, now=time.time(), shards=platform.shards, seed=count)
    write(platform, queued(made, records.body(kind.size)))
    return time.monotonic() - began


Message = tuple[str, bytes, dict[str, str]]
"""Subject, data, headers."""


def queued(made: Iterable[tuple[Key, Record]], body: bytes) -> Iterator[Message]:
    """Mails as their streams hold them."""
    for key, one in made:
        yield key.record, body, {record.HEADER: record.encode(one)}


def write(platform: Platform, messages: Iterable[Message]) -> None:
    """Puts messages into the streams of a stopped platform. Raises BenchError."""
    asyncio.run(_write(platform, messages))


async def _write(platform: Platform, messages: Iterable[Message]) -> None:
    folder = platform.data / "nats"
    async with unsynced_server(folder, platform.nats_server) as client:
        writers = Writers(client)
        await writers.open()
        for subject, data, headers in messages:
            await writers.write(subject, data, headers)
        await writers.finish()


class Writers:
    """Publishes with WINDOW acknowledgements outstanding."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._sent = self._stored = 0
        self._refused = ""
        self._news = asyncio.Event()

    async def open(self) -> None:
        await self._client.subscribe(self._inbox, cb=self._acknowledged)

    async def _acknowledged(self, msg: Msg) -> None:
        self._stored += 1
        if b'"error"' in msg.data or msg.headers:
            self._refused = f"{msg.data!r} {msg.headers}"
        self._news.set()

    async def write(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        await self._wait(WINDOW)
        self._sent += 1
        await self._client.publish(subject, data, reply=self._inbox, headers=headers)

    async def finish(self) -> None:
        await self._wait(1)

    async def _wait(self, most: int) -> None:
        """Until fewer than `most` are on the way."""
        while self._sent - self._stored >= most:
            self._news.clear()
            try:
                async with asyncio.timeout(STALLED):
                    await self._news.wait()
            except TimeoutError:
                raise BenchError(f"{self._stored} of {self._sent} writes acknowledged") from None
        if self._refused:
            raise BenchError(f"the queue refused a record: {self._refused}")


@contextlib.asynccontextmanager
async def unsynced_server(folder: Path, binary: str) -> AsyncIterator[Client]:
    """A nats-server on the data the platform left, and a client of it that may do everything."""
    port = _free_port()
    config = folder / "fill.conf"
    config.write_text(json.dumps(_unsynced(json.loads((folder / "nats.conf").read_text()), port)))
    server = await asyncio.create_subprocess_exec(binary, "-c", str(config))
    try:
        client = await _connect(port)
        yield client
        await client.close()
    finally:
        server.terminate()
        await server.wait()


def _unsynced(config: dict[str, dict[str, object]], port: int) -> dict[str, object]:
    """The platform's own configuration, with one more user and the server's default sync."""
    store = {k: v for k, v in config["jetstream"].items() if k != "sync_interval"}
    (name, account), *_ = config["accounts"].items()
    assert isinstance(account, dict)
    user = {"user": USER, "password": USER}
    accounts = {name: {**account, "users": [*account["users"], user]}}
    return {**config, "listen": f"127.0.0.1:{port}", "jetstream": store, "accounts": accounts}


async def _connect(port: int) -> Client:
    give_up = time.monotonic() + STARTS_WITHIN
    client = Client()
    while True:
        try:
            await client.connect(
                f"nats://127.0.0.1:{port}",
                user=USER,
                password=USER,
                allow_reconnect=False,
                error_cb=_ignore,
            )
        except (OSError, NoServersError) as error:
            if time.monotonic() > give_up:
                raise BenchError(f"the nats-server to fill the queue: {error!r}") from error
            await asyncio.sleep(0.1)  # it tells nobody when it listens
        else:
            await client.jetstream().account_info()
            return client


async def _ignore(_error: Exception) -> None:
    """A refused connection; `_connect` tries again and reports the last one."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
