"""Batches the disk work of all deliveries of this process.

While one batch is being written, the next one gathers: under load many mails share a batch, and a
lone mail never waits. Each file system below the mail root has batches and a thread of its own:
one that hangs (NFS whose server is gone) holds up no mail of the others, and what waits for it is
deferred, so that it does not take all slots of the worker.
"""

import asyncio
import errno
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from services.local import folders, maildir
from services.local.folders import Litter
from services.local.maildir import Parcel
from services.local.mounts import Mounts

BATCH = 64

THREADS = 16
"""File systems that are written to at a time."""

PATIENCE = 30.0
"""Seconds a batch may take before its file system is considered hanging."""


@dataclass(slots=True)
class _Waiting:
    parcel: Parcel
    done: "asyncio.Future[OSError | None]"


@dataclass(slots=True)
class _Lane:
    """What is to be written to one file system. `hangs`: since a batch began, PATIENCE ago."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    litter: Litter = field(default_factory=Litter)
    awake: bool = False
    hangs: bool = False

    def take(self) -> list[_Waiting]:
        return [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]

    def give_up(self, batch: Sequence[_Waiting]) -> None:
        """Defers the batch and what waits behind it. It may be delivered all the same: the next
        try is a suspect one, and looks.
        """
        self.hangs = True
        _answer([*batch, *self.waiting], [_no_answer()] * (len(batch) + len(self.waiting)))
        self.waiting.clear()


class Writer:
    """Gathers parcels into batches. `run` writes them, for ever.

    `root`: the mail root. `mounted`: it has to be a mount point.
    """

    def __init__(self, root: Path, *, mounted: bool = False, patience: float = PATIENCE) -> None:
        self._root, self._mounted, self._patience = root, mounted, patience
        self._mounts = Mounts(root)
        self._lanes: dict[str, _Lane] = {}
        self._awake: asyncio.Queue[_Lane] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="maildir")

    async def put(self, parcel: Parcel) -> OSError | None:
        """Returns when the parcel is durably in its Maildir, or what stopped it."""
        lane = self._lane(parcel)
        if lane.hangs:
            return _no_answer()
        waiting = _Waiting(parcel, asyncio.get_running_loop().create_future())
        lane.waiting.append(waiting)
        if not lane.awake:
            lane.awake = True
            self._awake.put_nowait(lane)
        return await waiting.done

    def _lane(self, parcel: Parcel) -> _Lane:
        mount = self._mounts.of(str(parcel.maildir))
        if mount not in self._lanes:
            self._lanes[mount] = _Lane()
        return self._lanes[mount]

    async def run(self) -> None:
        """Writes batch after batch of each file system."""
        async with asyncio.TaskGroup() as group:
            while True:
                lane = await self._awake.get()
                group.create_task(self._empty(lane))

    async def _empty(self, lane: _Lane) -> None:
        while lane.waiting:
            await self._write_batch(lane, lane.take())
        lane.awake = False

    async def _write_batch(self, lane: _Lane, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._patience, lane.give_up, batch)
        try:
            parcels = [waiting.parcel for waiting in batch]
            results = await loop.run_in_executor(self._threads, self._write, lane, parcels)
        finally:
            timer.cancel()
        lane.hangs = False
        _answer(batch, results)

    def _write(self, lane: _Lane, parcels: list[Parcel]) -> list[OSError | None]:
        """In a thread."""
        try:
            folders.check_root(self._root, mounted=self._mounted)
        except OSError as error:
            return [error] * len(parcels)
        results = maildir.deliver(parcels, self._root)
        good = {p.maildir for p, error in zip(parcels, results, strict=True) if error is None}
        lane.litter.clear(good, time.time())
        return results


def _answer(batch: Sequence[_Waiting], results: Iterable[OSError | None]) -> None:
    for waiting, result in zip(batch, results, strict=True):
        if not waiting.done.done():
            waiting.done.set_result(result)


def _no_answer() -> OSError:
    return OSError(errno.ETIMEDOUT, "the file system does not answer")
