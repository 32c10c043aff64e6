"""How many shards the queue has: one number for everybody, kept among the control settings.

Where a record lives depends on it. A process that was told another number would put mail where
nobody looks, so it does not start, and ends when the number changes under it. Only `tubepost
reshard` changes it, and moves the records.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tubepost import subjects
from tubepost.control import Control
from tubepost.errors import BadInput
from tubepost.keyed import Value
from tubepost.tasks import background


@dataclass(frozen=True, slots=True)
class Count:
    """`moving`: the change to this number was begun and has not ended."""

    shards: int
    moving: bool = False

    def encode(self) -> bytes:
        """As it is stored."""
        return json.dumps({"shards": self.shards, "moving": self.moving}).encode()


class WrongCount(BadInput):
    """This process is set to another number of shards than the queue has."""


def decode(value: Value) -> Count:
    """What `encode` made."""
    return Count(int(value["shards"]), bool(value["moving"]))


def check(count: Count, shards: int) -> None:
    """Raises WrongCount where a process may not work with `shards` shards."""
    if count.moving:
        raise WrongCount(
            f"the change to {count.shards} shards has not ended; run: tubepost reshard "
            f"{count.shards}"
        )
    if count.shards != shards:
        raise WrongCount(
            f"the queue has {count.shards} shards, not {shards}; "
            f"start with {count.shards}, or run: tubepost reshard {shards}"
        )


@contextlib.asynccontextmanager
async def agreed(control: Control, shards: int) -> AsyncIterator[None]:
    """Runs the body as long as the queue has so many shards. Raises WrongCount.

    Waits until the number is known: the scheduler stores it when it makes the streams.
    """
    news = asyncio.Event()
    control.mirror.listeners.append(news.set)
    while _in_force(control) is None:
        news.clear()
        await news.wait()

    async def watch() -> None:
        while True:
            news.clear()
            _check_in_force(control, shards)
            await news.wait()

    _check_in_force(control, shards)
    try:
        async with background(watch()):
            yield
    finally:
        control.mirror.listeners.remove(news.set)


def _in_force(control: Control) -> Count | None:
    found = control.mirror.values.get(subjects.SHARD_COUNT)
    return decode(found[0]) if found else None


def _check_in_force(control: Control, shards: int) -> None:
    count = _in_force(control)
    if count:
        check(count, shards)
