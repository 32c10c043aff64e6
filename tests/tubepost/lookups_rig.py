"""Look-ups on a bus that can be behind: what their tests share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.lookups import Lookups
from tubepost.ports import Bus, Stored
from tubepost.tasks import background

PATIENCE = 20.0
KEY = "account.org.joe"
OTHER = "account.org.ann"
Found = Lookups[tuple[str, bytes]]


class Replica(MemoryBus):
    """A bus of several servers. What is in `old` it answers until the leader is asked.

    `asked`: the reads, and whether of the leader. An answer waits until `gate` is open.
    """

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.old: dict[str, Stored | None] = {}
        self.asked: list[bool] = []
        self.gate, self.waiting = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.leader_is_old = False

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        found = await super().read(stream, subject, leader=leader)
        if not subject.endswith(".>"):
            self.asked.append(leader)
            if subject in self.old and (not leader or self.leader_is_old):
                found = self.old[subject]
            self.waiting.set()
            await self.gate.wait()
        return found


@contextlib.asynccontextmanager
async def running(bus: Bus, *, keep: int = 100, octets: int = 100_000) -> AsyncIterator[Found]:
    """Values as (key, octets stored)."""
    found = Found(bus, subjects.DIRECTORY, "account.>", pair, keep=keep, octets=octets)
    async with background(found.run()):
        await asyncio.wait_for(found.loaded.wait(), PATIENCE)
        yield found


def pair(key: str, data: bytes) -> tuple[str, bytes]:
    return key, data


async def put(bus: Bus, key: str, data: bytes) -> int:
    return await bus.append(subjects.bucket_key(subjects.DIRECTORY, key), data)


async def put_and_seen(bus: Bus, found: Found, key: str, data: bytes) -> None:
    await found.seen(await put(bus, key, data))
