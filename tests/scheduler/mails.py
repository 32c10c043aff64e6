"""Shards for the tests of what an operator sees: mails alone, split, whatever; owners of them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.scheduler.listing import Sight
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits, Shard
from services.scheduler.views import Views
from tests.fakes import FakeClock
from tests.scheduler.units import NOW, key, record
from tubepost import subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.mailstore import MailStore
from tubepost.ports import Bus
from tubepost.record import Held, Recipient, State
from tubepost.subjects import LOCAL, REMOTE, Key

LIMITS = Limits({LOCAL: 10, REMOTE: 20})


def alone(mail_id: str, *recipients: Recipient, state: State = State.PENDING) -> Held:
    """A mail of one unit."""
    return Held(key(mail_id), 1, record(*recipients, state=state))


def unit_of(mail_id: str, unit: str, *recipients: Recipient) -> Held:
    """One unit of a split mail."""
    return Held(key(mail_id, unit), 1, replace(record(*recipients), group=0))


def group(mail_id: str, state: State = State.GROUP) -> Held:
    """What a split mail has beside its units."""
    made = replace(
        record(state=state), recipients=(), channel="", destination="", chunks=1, count=2
    )
    return Held(key(mail_id, subjects.SPLIT_UNIT), 1, made)


def sight_of(
    units: Iterable[Held], *, bad: Sequence[Key] = (), limits: Limits = LIMITS, now: float = NOW
) -> Sight:
    shard = Shard()
    for seq, unit in enumerate(units, 1):
        shard.put(replace(unit, seq=seq), now)
    return Sight(shard, dict.fromkeys(bad, "not a queue record"), limits, now)


def owner_on(bus: Bus, number: int, clock: FakeClock, shards: int = 2) -> Owner:
    """An owner that has read its (empty) shard; it does not run."""
    control, directory = Control(bus, "mail.example.org"), Directory(bus)
    settler = Settler(MailStore(bus, shards), shards, control, directory, clock)
    owner = Owner(bus, number, settler, clock=clock, limits=lambda: LIMITS, wanted=lambda: None)
    owner._reading.loaded.set()
    return owner


async def views_on(bus: Bus, clock: FakeClock, *shards: list[Held]) -> Views:
    """A scheduler for each shard: the question goes to whoever answers."""
    asked: list[Views] = []
    for number, units in enumerate(shards):
        owner = owner_on(bus, number, clock)
        for seq, one in enumerate(units, 1):
            placed = replace(one, seq=seq, key=replace(one.key, shard=number))
            owner.shard.put(placed, clock())
        asked.append(Views(bus, 2, {number: owner}))
        await bus.answer(subjects.VIEW_ANY, asked[-1].answer)
    return asked[0]
