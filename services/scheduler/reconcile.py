"""Compares what an owner remembers of its shard with what is there: qmail's todo scan (SEND-3).

Hints get lost, and in a cluster a leader may for a moment know less than the replica an owner
follows. Whatever that made an owner forget, or remember too long, is put right here.
"""

import asyncio
from collections.abc import Collection

from tubepost import subjects
from tubepost.ports import Bus, Stored
from tubepost.subjects import Key

SLICE = 1000
"""Names looked at before others on the loop may run."""


async def compared(
    bus: Bus, number: int, *remembered: Collection[Key]
) -> tuple[list[Stored], list[Key]]:
    """What is there and not remembered; what is remembered and not there, by the leader's word.

    `remembered`: the owner's own collections, which go on changing. Costs one question where the
    numbers agree. Raises Unavailable.
    """
    stream = subjects.queue_stream(number)
    if await bus.count(stream) == sum(map(len, remembered)):
        return [], []
    there: set[Key] = set()
    for n, name in enumerate(await bus.subjects(stream, subjects.queue_subjects(number))):
        if n % SLICE == 0:
            await asyncio.sleep(0)
        there.add(subjects.key_of(name))
    known = set().union(*remembered)
    found = [await bus.read(stream, key.record, leader=True) for key in there - known]
    gone = [key for key in known - there if await bus.read(stream, key.record, leader=True) is None]
    return [stored for stored in found if stored], gone
