"""The data folder's lock, and the nats-server that `tubepost` runs on it."""

import contextlib
import fcntl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ctl import embedded
from ctl.children import Child
from tubepost.errors import BadInput
from tubepost.tasks import background

WAIT_FOR_LOCK = 15.0
"""Seconds for the processes of a killed run to be gone."""

NATS_STOP = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, and the password of each service on it; none on a server that is given."""

    url: str
    passwords: Mapping[str, str]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Holds the folder's lock; children inherit it, so it is free when the last one is gone."""
    with (folder / "lock").open("w") as file:
        give_up = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise BadInput(
                        f"another tubepost runs on {folder}; stop it, or give another --data"
                    ) from None
                time.sleep(0.1)  # the lock tells nobody when it is free but those who wait in line
        yield file.fileno()


@contextlib.asynccontextmanager
async def own_server(data: Path, shards: int, lock: int) -> AsyncIterator[Server]:
    """A nats-server on the data folder, as long as the body runs."""
    server = embedded.prepare(data / "nats", shards)
    child = Child("nats-server", server.command, lock=lock, speaks=False)
    try:
        async with background(child.run()):
            yield Server(server.url, server.passwords)
    finally:
        await child.stop(NATS_STOP)  # last, when nobody needs it
