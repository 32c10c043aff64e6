"""The owner of one shard: follows its records, hands out what is due, settles what is for it.

All decisions are Shard's and lifecycle's; here is the I/O around them. It ends when cancelled.
"""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence

from services.scheduler.expiry import Expired
from services.scheduler.listing import Sight
from services.scheduler.reading import Reading
from services.scheduler.reconcile import compared
from services.scheduler.settle import Settler
from services.scheduler.shard import SETTLED_BY_OWNER, Limits, Shard
from tubepost import maillog, subjects
from tubepost.errors import Conflict, StoreFull, Unavailable
from tubepost.mailstore import MissingBody, held
from tubepost.ports import Bus, Clock, Stored
from tubepost.record import Held, State, UnreadableRecord
from tubepost.subjects import Key

ASK_WORKERS = 1.0
"""Seconds workers have to say what they hold, before a new owner hands anything out."""

CHECK_OUT = 60.0
"""Seconds between two checks for jobs that were lost; a live one answers with a conflict."""

LOST_AFTER = 90.0
"""Seconds a job is out before it is checked."""

RECONNECT = 2.0
"""Seconds workers have to find a restarted server again; they try five times a second."""

ROUND = 0.05
"""Seconds between two rounds of handing out. The first mail goes at once; what comes meanwhile goes
out together, and everything behind it works in batches (docs/performance.md). A round ends early
where mails wait for places and many of these came free (docs/decisions/0009-jobs-in-rounds.md)."""

LEADER_BEHIND = 5.0
"""Seconds a leader has to come up with a record that a follower has shown us."""

RECONCILE = 1500.0
"""Seconds between two comparisons of our memory with the stream: qmail-send's SLEEP_TODO."""

MAX_FAILURES = 5
"""Times a record may make us fail before it is parked."""

GROUPS_AT_ONCE = 100
"""Groups looked at in each check for lost hints."""

SPLITTING = 0.2
"""Seconds a unit waits for the other units of its mail to be made."""

AGAIN = 0.5
"""Seconds until a job that could not be stored is tried again."""


class Owner:
    """Owns shard `number` while `run` runs. `wanted`: called when DISPATCH seems to be missing."""

    def __init__(
        self,
        bus: Bus,
        number: int,
        settler: Settler,
        *,
        clock: Clock,
        limits: Callable[[], Limits],
        wanted: Callable[[], None],
    ) -> None:
        self._bus, self.number, self._settler = bus, number, settler
        self._clock, self._limits, self._wanted = clock, limits, wanted
        self._news, self._refill = asyncio.Event(), asyncio.Event()
        self.shard = Shard(self._news.set)
        self._reading = Reading(bus, number, self._see, clock)
        self._to_settle: asyncio.Queue[Key] = asyncio.Queue()
        self._to_expire: asyncio.Queue[Expired] = asyncio.Queue()
        self._suspect: set[Key] = set()
        """Keys an earlier job may still be at work on."""
        self._held_at_first: set[Key] = set()
        """What workers held when we began, as far as we have not seen its record yet."""
        self._groups: dict[str, int] = {}
        """Mail id of a group -> how many of its units have ended, as far as hints told."""
        self._unsettled: dict[Key, float] = {}
        """Records that are ours to end or change, and since when. A lost hint leaves one here."""
        self._missed: dict[Key, float] = {}
        """Records the leader did not have when we wanted to settle them, and since when."""
        self._failed: Counter[Key] = Counter()
        """How often settling a record went wrong by a bug of ours."""
        self.unreadable: dict[Key, str] = {}
        """Records that are no records of ours, and why. Only an operator can end them."""

    @property
    def loaded(self) -> bool:
        return self._reading.loaded.is_set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reading.run())
            group.create_task(self._dispatch())
            group.create_task(self._check_lost())
            group.create_task(self._expire())
            group.create_task(self._keep_true())
            for _ in range(8):
                group.create_task(self._settle())

    # --- what others tell

    def gone(self, key: Key, seq: int) -> None:
        """A hint: that version of a record is no longer there."""
        if key in self.shard.out and self.shard.units[key].seq > seq:
            # A job for an older version was dropped, and stood where that of this one has to go.
            self.shard.put_back(key, self._clock() + AGAIN)
            self._news.set()
        record = self.shard.gone(key, seq, self._clock())
        self._suspect.discard(key)
        self.unreadable.pop(key, None)
        self._missed.pop(key, None)
        if record:
            self._unsettled.pop(key, None)
            if record.state is State.GROUP:
                self._groups.pop(key.mail_id, None)
            maillog.ended(key, record.channel, self._clock() - record.created)
            self._tell()

    def unit_ended(self, key: Key) -> None:
        """A unit of some shard ended: the group it belongs to may be complete."""
        if key.unit == subjects.SPLIT_UNIT or key.mail_id not in self._groups:
            return
        self._groups[key.mail_id] += 1
        group = Key(self.number, key.mail_id, subjects.SPLIT_UNIT)
        if self._groups[key.mail_id] >= self.shard.units[group].record.count:
            self._to_settle.put_nowait(group)

    # --- for the operator

    def sight(self) -> Sight:
        """The shard as it is now."""
        now = self._clock()
        closed = frozenset(t.name for t in self.shard.troubles() if t.until > now)
        return Sight(self.shard, self.unreadable, self._limits(), now, closed)

    def flush(self, keys: Sequence[Key]) -> list[Key]:
        """Makes these due now, and opens their destinations; which did wait. Nothing is written."""
        units = (self.shard.units.get(key) for key in keys)
        waiting = [u.key for u in units if u and u.record.state is State.PENDING]
        hurried = [key for key in waiting if key not in self.shard.out]
        self.shard.hurry(hurried, self._clock())
        self.wake()
        return hurried

    def reopen(self, destination: str) -> None:
        """Ends the back-off of a destination."""
        self.shard.reopen(destination)
        self.wake()

    def wake(self) -> None:
        """A limit changed."""
        self._news.set()

    async def jobs_lost(self) -> None:
        """DISPATCH was made anew, empty: what is out and held by no worker goes out again.

        A worker that has not found the server again cannot say what it holds: it gets some time,
        and whoever takes such a job asks the others once more.
        """
        await asyncio.sleep(RECONNECT)
        holding = await self._held_by_workers()
        for key in [k for k in self.shard.out if k not in holding]:
            self._suspect.add(key)
            self.shard.put_back(key, self._clock())
        self._news.set()

    # --- reading the records

    def _see(self, item: Stored, new: bool) -> None:
        try:
            record = held(item)
        except UnreadableRecord as error:
            key = subjects.key_of(item.subject)
            self.unreadable[key] = str(error)
            maillog.unreadable(key, str(error))
            return
        key, known = record.key, self.shard.units.get(record.key)
        if known and known.seq >= record.seq:
            return
        self._suspect.discard(key)
        self.unreadable.pop(key, None)
        self._note_ours(record)
        if self.shard.put(record, self._clock()) or self._settler.owes_warning(record):
            self._to_settle.put_nowait(key)
        if key in self._held_at_first:
            self._held_at_first.discard(key)
            if not new:  # no worker has written it since it was asked: it is at it still
                self.shard.held_by_worker((key,), self._clock())
        self._tell()

    def _tell(self) -> None:
        """Something ended, or is new."""
        self._news.set()
        if self.shard.refills:
            self._refill.set()

    def _note_ours(self, record: Held) -> None:
        """Keeps the lists of what we have to end in step with what was seen."""
        key, state = record.key, record.record.state
        self._unsettled.pop(key, None)
        if state is State.GROUP:
            self._groups.setdefault(key.mail_id, 0)
        elif state in SETTLED_BY_OWNER:
            self._unsettled[key] = self._clock()

    # --- handing out

    async def _dispatch(self) -> None:
        self._held_at_first = await self._held_by_workers()
        self.shard.held_by_worker(self._held_at_first, self._clock())
        self._held_at_first.difference_update(list(self.shard.units))
        while True:
            self._news.clear()
            self._refill.clear()
            due = self.shard.due(self._clock(), self._limits())
            for each in self.shard.expired_behind_backoff(self._settler.lifetime):
                self._to_expire.put_nowait(each)
            if due:
                await asyncio.gather(*(self._send(unit) for unit in due))
                await self._end_of_round()
            elif self.shard.searching:
                await asyncio.sleep(0)
            else:
                await self._wait_for_news()

    async def _end_of_round(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUND):
                await self._refill.wait()

    async def _wait_for_news(self) -> None:
        at = self.shard.next_due()
        patience = None if at is None else max(0.0, at - self._clock())
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return  # something is due

    async def _send(self, unit: Held) -> None:
        """Stores a job. Refused as a conflict = one is out for this record already."""
        subject = unit.key.job(unit.record.channel)
        job = subjects.job(unit.seq, suspect=unit.key in self._suspect)
        try:
            if not await self._settler.may_go_out(unit):
                self.shard.put_back(unit.key, self._clock() + SPLITTING)
                return
            await self._bus.append(subject, job, expect=0)
        except Conflict:
            return
        except StoreFull:
            self.shard.put_back(unit.key, self._clock() + AGAIN)
        except Unavailable:
            self.shard.put_back(unit.key, self._clock() + AGAIN)
            self._wanted()

    async def _held_by_workers(self) -> set[Key]:
        while True:
            try:
                answers = await self._bus.ask_all(
                    subjects.inflight(self.number), seconds=ASK_WORKERS
                )
            except Unavailable:
                await asyncio.sleep(AGAIN)
            else:
                pairs = [pair for answer in answers for pair in json.loads(answer)]
                return {Key(self.number, mail_id, unit) for mail_id, unit in pairs}

    async def _check_lost(self) -> None:
        while True:
            await asyncio.sleep(CHECK_OUT)
            await self.look_for_lost()

    async def look_for_lost(self) -> None:
        """Does again what got lost, if it did: jobs sent, hints of ends heard.

        A live job refuses its double; what is to be settled is read from the leader first.
        """
        before = self._clock() - LOST_AFTER
        for unit in self.shard.out_since(before):
            self._suspect.add(unit.key)
            await self._send(unit)
        for key in [key for key, since in self._unsettled.items() if since < before]:
            self._to_settle.put_nowait(key)
        for mail_id in list(itertools.islice(self._groups, GROUPS_AT_ONCE)):
            self._groups[mail_id] = self._groups.pop(mail_id)  # to the end of the line
            self._to_settle.put_nowait(Key(self.number, mail_id, subjects.SPLIT_UNIT))

    async def _keep_true(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE)
            try:
                await self.reconcile()
            except Unavailable as error:
                maillog.bus_error(str(error))

    async def reconcile(self) -> None:
        """Puts our memory right where it is not what the stream has. Raises Unavailable."""
        if not self.loaded:
            return
        unseen, gone = await compared(self._bus, self.number, self.shard.units, self.unreadable)
        for stored in unseen:
            self._see(stored, True)
        for key in gone:
            known = self.shard.units.get(key)
            self.gone(key, known.seq if known else 0)
        if unseen or gone:
            maillog.reconciled(self.number, unseen=len(unseen), gone=len(gone))

    # --- settling

    async def _expire(self) -> None:
        """Ends units whose last try was their destination's failed probe."""
        while True:
            each = await self._to_expire.get()
            try:
                await self._expire_one(each)
            except (Unavailable, StoreFull, Conflict):
                self.shard.put_back(each.key, self._clock() + AGAIN)
            except Exception:  # noqa: BLE001 - one bad record must not stop the shard
                maillog.bug(f"expiry of {each.key}")
                self.shard.put_back(each.key, self._clock() + CHECK_OUT)

    async def _expire_one(self, each: Expired) -> None:
        """Not while a job for it is out, be it an earlier owner's: it may be on its way."""
        known = self.shard.units.get(each.key)
        if known is None:
            return
        job = each.key.job(known.record.channel)
        if await self._bus.read(subjects.DISPATCH, job, leader=True):
            self.shard.held_by_worker([each.key], self._clock())
        elif not await self._settler.expire(each.key, each.error):
            self.gone(each.key, known.seq)

    async def _settle(self) -> None:
        while True:
            key = await self._to_settle.get()
            try:
                known = self.shard.units.get(key)
                if not await self._settler.settle(key, known.seq if known else 0):
                    self._not_there(key)
                    continue
            except (Unavailable, StoreFull, Conflict):
                self._settle_later(key, AGAIN)
            except MissingBody as error:
                await self._park(key, str(error))
            except Exception as error:  # noqa: BLE001 - one bad record must not stop the shard
                maillog.bug(f"settling {key}")
                self._failed[key] += 1
                if self._failed[key] < MAX_FAILURES:
                    self._settle_later(key, CHECK_OUT)
                else:
                    await self._park(key, f"settling failed {MAX_FAILURES} times: {error!r}")
            else:
                self._failed.pop(key, None)
                self._missed.pop(key, None)

    def _not_there(self, key: Key) -> None:
        """The leader does not have what we heard of: it is behind, or the record is gone."""
        known, now = self.shard.units.get(key), self._clock()
        if known is None:
            self._missed.pop(key, None)
        elif now - self._missed.setdefault(key, now) < LEADER_BEHIND:
            self._settle_later(key, AGAIN)
        else:
            self.gone(key, known.seq)

    async def _park(self, key: Key, why: str) -> None:
        self._failed.pop(key, None)
        try:
            if not await self._settler.park(key, why):
                self._settle_later(key, CHECK_OUT)
        except (Unavailable, StoreFull, UnreadableRecord):
            self._settle_later(key, CHECK_OUT)

    def _settle_later(self, key: Key, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._to_settle.put_nowait, key)
