"""What an operator does to mails: hold, release, bounce, delete, rejuvenate, flush.

Each change is one compare-and-set on what the leader has; lifecycle says what it makes of a record.
Only a flush changes nothing but an owner's memory. Orders for many mails are worked off in slices:
whoever gave one asks again with the cursor of the answer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.scheduler.filters import Filter
from services.scheduler.mails import Mails
from services.scheduler.views import Views
from tubepost import lifecycle, maillog
from tubepost.errors import BadInput, Unavailable
from tubepost.events import NOBODY, Teller
from tubepost.mailstore import MailStore
from tubepost.ports import Clock
from tubepost.record import Held, Note, Record, State, UnreadableRecord
from tubepost.subjects import Key

SLICE = 500
"""Records one answer stands for."""

AT_ONCE = 16
"""Records changed at the same time."""

PATIENCE = 20.0
"""Seconds for one record; a bus that is away for longer is told to whoever gave the order."""

ANY_VERSION = 2**63 - 1
"""As the sequence in a hint: whatever an owner remembers of it, it is gone."""

RETURNED = "This message was given up by hand. (#5.0.0)"
"""What the sender reads in the bounce. The operator's reason is not for the sender."""

GONE = "it is no longer in the queue"

FLUSH, DELETE = "flush", "delete"

_CHANGES: Mapping[str, Callable[[Record, Note], Record]] = {
    "hold": lifecycle.held,
    "release": lifecycle.released,
    "bounce": lambda record, note: lifecycle.given_up(record, note, RETURNED),
    "rejuvenate": lifecycle.rejuvenated,
}

ACTIONS = (FLUSH, DELETE, *_CHANGES)

_WHY_NOT: Mapping[State, str] = {
    State.PENDING: "it is not held",
    State.HELD: "it is held",
    State.PARKED: "it is parked: release, bounce or delete it",
    State.BOUNCE: "its bounce is being made",
    State.DONE: "it is delivered and is being removed",
    State.SPLIT: "it is being split into its destinations: try again in a moment",
    State.GROUP: "it ends by itself: its units have ended",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done; `note` says who ordered it, why, when."""

    action: str
    note: Note

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise BadInput(
                f"{self.action!r} is nothing to do with a mail; do: {', '.join(ACTIONS)}"
            )


@dataclass(slots=True)
class Done:
    """What became of an order. `next`: the cursor to go on with, None at the end."""

    matched: int = 0
    changed: int = 0
    unchanged: list[dict[str, Any]] = field(default_factory=list)
    next: str | None = None

    def leave(self, key: Key, why: str) -> None:
        """Notes why a unit is as it was."""
        self.unchanged.append({"id": key.mail_id, "unit": key.unit, "why": why})


def told(events: Teller, order: Order, mail_id: str, unit: str) -> None:
    """Logs and tells a change, once it is made. No mail: a flush of all that matched."""
    action, who, why = order.action, order.note.actor, order.note.why
    maillog.queue_action(action, mail_id=mail_id, unit=unit, actor=who, reason=why)
    events.emit("operator", mail_id, unit=unit, action=action, actor=who, why=why)


class Actions:
    """Raises NotFound, BadInput, Unavailable."""

    def __init__(
        self,
        store: MailStore,
        mails: Mails,
        views: Views,
        clock: Clock,
        events: Teller = NOBODY,
    ) -> None:
        self._store, self._mails, self._views = store, mails, views
        self._clock, self._events = clock, events

    async def on_mail(self, order: Order, mail_id: str) -> Done:
        """Does it to every unit of one mail."""
        keys = await self._mails.keys(mail_id)
        units = [key for key in keys if not await self._is_group(key, keys)]
        if order.action == FLUSH:
            return await self._flush_units(order, units)
        return await self._apply(order, units)

    async def on_matching(self, order: Order, chosen: Filter, cursor: str) -> Done:
        """Does it to a slice of what matches and was accepted before the order."""
        until, shard, after = _parsed(cursor) if cursor else (self._clock(), 0, "")
        if shard >= self._views.shards:
            raise BadInput(f"{cursor!r} is not a cursor of this queue")
        if order.action == FLUSH:
            matched, due, end = await self._views.flush(shard, chosen, after, until=until)
            done = Done(matched, due)
        else:
            keys, end = await self._views.keys(shard, chosen, after, until=until, limit=SLICE)
            done = await self._apply(order, keys)
        if end:
            done.next = f"{until}~{shard}~{end}"
        elif shard + 1 < self._views.shards:
            done.next = f"{until}~{shard + 1}~"
        elif order.action == FLUSH:
            told(self._events, order, "", "")
        return done

    async def _is_group(self, key: Key, keys: Sequence[Key]) -> bool:
        """A group follows its units; what is done to it is done to them."""
        if key is not keys[-1] or len(keys) == 1:
            return False
        try:
            held = await self._store.read(key)
        except UnreadableRecord:
            return False
        return held is not None and held.record.state is State.GROUP

    async def _flush_units(self, order: Order, keys: Sequence[Key]) -> Done:
        due = await self._views.flush_units(list(keys))
        done = Done(len(keys), len(due))
        for key in keys:
            if key in due:
                told(self._events, order, key.mail_id, key.unit)
            else:
                done.leave(key, "it is being delivered, or does not wait for its time")
        return done

    async def _apply(self, order: Order, keys: Sequence[Key]) -> Done:
        done, room = Done(len(keys)), asyncio.Semaphore(AT_ONCE)

        async def one(key: Key) -> None:
            async with room:
                why_not = await self._change(order, key)
            if why_not:
                done.leave(key, why_not)
            else:
                done.changed += 1
                told(self._events, order, key.mail_id, key.unit)

        await asyncio.gather(*(one(key) for key in keys))
        done.unchanged.sort(key=lambda left: (left["id"], left["unit"]))
        return done

    async def _change(self, order: Order, key: Key) -> str:
        """Does it; why not, where it cannot be done."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._changed(order, key)
        except TimeoutError:
            raise Unavailable(f"{key}: the bus does not answer; look, then try again") from None

    async def _changed(self, order: Order, key: Key) -> str:
        try:
            held = await self._store.read(key)
        except UnreadableRecord as error:
            if order.action != DELETE:
                return f"it cannot be read: {error}"
            await self._store.forget_key(key)
            return ""
        if held is None:
            await self._store.tell_gone(key, ANY_VERSION)  # in case its owner has not heard
            return GONE
        if order.action == DELETE:
            return await self._delete(held)
        return await self._settle(order, held)

    async def _settle(self, order: Order, held: Held) -> str:
        """By compare-and-set: where a worker was first, it is done to what the worker wrote."""
        why_not = ""

        def change(record: Record) -> Record:
            nonlocal why_not
            new = _CHANGES[order.action](record, order.note)
            why_not = _why_not(order.action, record) if new is record else ""
            return new

        return GONE if await self._store.settle(held, change) is None else why_not

    async def _delete(self, held: Held) -> str:
        """Ends it, whoever changed it meanwhile; a group that has lost its last unit follows."""
        record = held.record
        if record.state in (State.SPLIT, State.GROUP):
            return _WHY_NOT[record.state]
        if record.chunks and record.group is None:
            await self._store.forget_body(held.key.mail_id)
        if not record.channel:  # it was parked half split: what was made of it has lost its body
            for key in await self._store.keys_of(held.key.mail_id):
                await self._store.forget_key(key)
        await self._store.forget(held)
        await self._store.tell_gone(held.key, ANY_VERSION)
        if record.group is None:  # of a group its end is told, by its owner
            seconds = round(self._clock() - record.created, 3)
            self._events.emit("ended", held.key.mail_id, unit=held.key.unit, seconds=seconds)
        return ""


def _why_not(action: str, record: Record) -> str:
    if record.state is State.PARKED and not record.channel:
        return "it could not be split into its destinations: release or delete it"
    if record.state is State.HELD and action == "hold":
        return "it is held already"
    return _WHY_NOT[record.state]


def _parsed(cursor: str) -> tuple[float, int, str]:
    """(until, shard, place) of a cursor that `on_matching` gave."""
    try:
        until, shard, after = cursor.split("~")
        return float(until), int(shard), after
    except ValueError:
        raise BadInput(f"{cursor!r} is not a cursor of this queue") from None
