"""Batches the disk work of all deliveries of this process.

While one batch is being written, the next one gathers: under load many mails share a batch, and a
lone mail never waits.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.local import maildir
from services.local.maildir import Parcel

BATCH = 64


@dataclass(slots=True)
class _Waiting:
    parcel: Parcel
    done: "asyncio.Future[OSError | None]"


class Writer:
    """Gathers parcels into batches. `run` writes them, for ever."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="maildir")

    async def put(self, parcel: Parcel) -> OSError | None:
        """Returns when the parcel is durably in its Maildir, or what stopped it."""
        waiting = _Waiting(parcel, asyncio.get_running_loop().create_future())
        self._waiting.put_nowait(waiting)
        return await waiting.done

    async def run(self) -> None:
        """Writes batch after batch."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            results = await loop.run_in_executor(
                self._thread, maildir.deliver, [w.parcel for w in batch]
            )
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result(result)
