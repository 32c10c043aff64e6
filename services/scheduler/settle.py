"""What the owner does to records itself: split, report, remove bodies, end groups.

Each step may be repeated after a crash: its writes are compare-and-set or have fixed ids.
"""

from services.scheduler.reporter import Reporter
from tubepost import lifecycle, maillog, subjects
from tubepost.attempts import Attempts
from tubepost.control import Control
from tubepost.domains import Domains
from tubepost.errors import Conflict
from tubepost.events import NOBODY, SHOWN, Teller
from tubepost.mailstore import MailStore
from tubepost.outcome import Deferred
from tubepost.ports import Clock
from tubepost.record import Held, Record, State
from tubepost.subjects import Key

NOT_REACHED = "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)"
"""What a unit ends with where its destination's probe left no text."""


class Settler:
    """Reads every record from the leader before it acts on it."""

    def __init__(
        self,
        store: MailStore,
        shards: int,
        control: Control,
        directory: Domains,
        clock: Clock,
        events: Teller = NOBODY,
    ) -> None:
        self._store, self._shards = store, shards
        self._control, self._clock, self._events = control, clock, events
        self._reporter = Reporter(store, control, directory, clock, events)

    async def settle(self, key: Key, seq: int = 0) -> bool:
        """Does what the record's state asks for; False where the leader has no such version yet,
        or no more: `seq` or a later one. Raises Unavailable."""
        held = await self._store.read(key)
        if held is None or held.seq < seq:
            return False
        match held.record.state:
            case State.SPLIT:
                await self._split(held)
            case State.GROUP:
                await self._end_group(held)
            case State.BOUNCE:
                await self._report(held)
            case State.DONE:
                await self._end(held)
            case State.PENDING:
                await self._reporter.warn(held)
        return True

    def owes_warning(self, held: Held) -> bool:
        """Whether a pending record is to be settled: its sender does not know yet that it waits."""
        return self._reporter.warning(held) is not None

    async def park(self, key: Key, why: str) -> bool:
        """Sets a record aside that could not be settled; whether that was possible.

        What has only to be removed is not parked: there the next try is all there is to do.
        """
        held = await self._store.read(key)
        if held is None or held.record.state is State.PENDING:
            return True  # gone, or only its warning failed: the mail itself goes on
        if State.PARKED not in lifecycle.TRANSITIONS[held.record.state]:
            return False
        await self._store.settle(held, lambda record: lifecycle.parked(record, why))
        maillog.parked(key, why)
        self._events.emit("parked", key.mail_id, unit=key.unit, why=why)
        return True

    @property
    def lifetime(self) -> float:
        """Seconds a mail stays in the queue before its last try."""
        return self._control.retry_rules.lifetime

    async def expire(self, key: Key, error: str) -> bool:
        """Ends a unit past its lifetime: its last try was its destination's probe, with that error.

        False where the record is gone. Raises Conflict where this is not the time, Unavailable.
        """
        held = await self._store.read(key)
        if held is None:
            return False
        if held.record.state is State.PENDING and not await self.may_go_out(held):
            raise Conflict(f"{key} is being split")
        why = Deferred(text=error or NOT_REACHED, status="4.4.1", no_connection=True)
        outcomes = dict.fromkeys(held.record.waiting, why)
        now, rules = self._clock(), self._control.retry_rules

        def change(record: Record) -> Record:
            if record.state is not State.PENDING or not rules.is_last(record.clock_start, now):
                raise Conflict(f"{key} was changed meanwhile")
            return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=rules)

        settled = await self._store.settle(held, change)
        maillog.attempted(held, outcomes, settled, seconds=0.0)
        Attempts(self._events, self._clock).stored(held, outcomes, settled, began=now, now=now)
        return True

    async def may_go_out(self, unit: Held) -> bool:
        """Whether the mail a unit belongs to is split to its end. Raises Unavailable.

        Until then a unit that is gone could not be told from one that was never made, and the
        next owner would make it, and send it, again.
        """
        record = unit.record
        if record.group is None or record.attempts:
            return True
        whole = await self._store.read(Key(record.group, unit.key.mail_id, subjects.SPLIT_UNIT))
        return whole is None or whole.record.state is State.GROUP

    async def _split(self, held: Held) -> None:
        mail_id = held.key.mail_id
        units = lifecycle.split(held.record, held.key.shard, await self._store.routes(held))
        for number, unit in enumerate(units):
            shard = subjects.shard_of(unit.channel, unit.destination, mail_id, self._shards)
            await self._store.create_unit(Key(shard, mail_id, str(number)), unit)
        await self._store.regroup(held, len(units))
        shown = [[str(n), u.channel, u.destination] for n, u in enumerate(units[:SHOWN])]
        self._events.emit("split", mail_id, units=shown, count=len(units))

    async def _end_group(self, held: Held) -> None:
        """Removes the body once the leaders say that no unit is left."""
        if not await self._store.units_left(held.key.mail_id):
            await self._end(held)
            self._ended(held)

    def _ended(self, held: Held) -> None:
        """Nothing is left of the mail; told where no attempt has said so."""
        seconds = round(self._clock() - held.record.created, 3)
        self._events.emit("ended", held.key.mail_id, unit=held.key.unit, seconds=seconds)

    async def _report(self, held: Held) -> None:
        new = await self._reporter.tell(held)
        if held.record.group is None and (new is None or new.state is State.DONE):
            self._ended(held)

    async def _end(self, held: Held) -> None:
        await self._store.forget_body(held.key.mail_id)
        await self._store.forget(held)
