"""The worker's loop, the same for local and remote: job -> record -> courier -> outcome -> finish.

The worker writes the outcome itself, by compare-and-set, and only then finishes the job: whoever
takes the job again after a crash finds the record changed or gone, and drops it. What an outcome
means for the record is lifecycle's to say, how a mail is delivered the courier's.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tubepost import lifecycle, maillog, reply_kinds, retry, subjects, verp
from tubepost.attempts import Attempts
from tubepost.errors import Unavailable
from tubepost.events import NOBODY, Teller
from tubepost.mailstore import MailStore, MissingBody
from tubepost.outcome import Deferred, Outcome
from tubepost.ports import Bus, Clock, Job
from tubepost.record import Held, Priority, Record, State, UnreadableRecord, Wish
from tubepost.retry import Rules
from tubepost.subjects import Key
from tubepost.tasks import background

SIGN_OF_LIFE = 20.0
"""Seconds between two signs of life for a job: a third of DISPATCH's ack_wait."""

ASK_WORKERS = 1.0
"""Seconds the other workers have to say what they hold."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What a courier gets. `body` has CRLF line ends and is not dot-stuffed; times as in Record.

    `wishes`, `ret`, `envid` and `smtputf8` as in Envelope. `done`: by recipient, the names of the
    actions that earlier tries have done. `suspect`: an earlier try may have delivered it, to some
    recipients or to all, without a word of it in the record.
    """

    key: Key
    sender: str
    recipients: tuple[str, ...]
    destination: str
    body: bytes
    attempt: int
    created: float
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    priority: Priority = Priority.NORMAL
    done: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suspect: bool = False


class Courier(Protocol):
    """Takes a mail to where it goes."""

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient. What goes wrong with a mail is an outcome too."""
        ...


class Worker:
    """Runs up to `slots` deliveries of one channel at a time."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        bus: Bus,
        store: MailStore,
        channel: str,
        courier: Courier,
        *,
        slots: int,
        clock: Clock,
        rules: Callable[[], Rules],
        events: Teller = NOBODY,
    ) -> None:
        self._bus, self._store, self._channel, self._courier = bus, store, channel, courier
        self._slots, self._clock, self._rules = slots, clock, rules
        self._attempts = Attempts(events, clock)
        self._held: dict[Key, tuple[Job, asyncio.Task[None]]] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set, then lets the running deliveries end."""
        await self._bus.answer(subjects.INFLIGHT_ANY, self._which_held)
        async with background(self._give_signs_of_life(), self._attempts.watch()):
            async with background(self._take_jobs()):
                await stopping.wait()
            await asyncio.gather(*(task for _, task in self._held.values()))

    async def _take_jobs(self) -> None:
        async for job in self._bus.work(self._channel, self._slots):
            key = subjects.key_of(job.subject)
            if key in self._held:  # this process has it still: the first delivery will finish it
                await job.finish()
                self._bus.release(self._channel)
                continue
            self._held[key] = (job, asyncio.create_task(self._guard(key, job)))

    async def _give_signs_of_life(self) -> None:
        """Keeps the bus from handing out again what is being worked on."""
        while True:
            await asyncio.sleep(SIGN_OF_LIFE)
            for job, _ in list(self._held.values()):
                await job.working()

    async def _guard(self, key: Key, job: Job) -> None:
        """One delivery. A bug or a bus that is away leaves the job to be handed out again."""
        try:
            await self._deliver(key, job)
        except Unavailable as error:
            maillog.worker_failed(self._channel, key, str(error))
        except Exception:  # noqa: BLE001 - a bug must not end the worker, nor lose the mail
            maillog.bug(f"delivery of {key}")
        finally:
            del self._held[key]
            self._bus.release(self._channel)

    async def _deliver(self, key: Key, job: Job) -> None:
        seq, suspect = subjects.parse_job(job.data)
        again = suspect or job.redelivered
        try:
            held = await self._store.read_for_job(key, seq, redelivered=again)
        except UnreadableRecord as error:
            maillog.unreadable(key, str(error))
            await job.finish()
            return
        if held is None or held.record.state is not State.PENDING:
            await self._store.tell_gone(key, seq)
        elif again and await self._held_elsewhere(key):
            return  # another worker is at it; should it die, the job comes again
        else:
            await self._attempt(held, again=again)
        await job.finish()

    async def _attempt(self, held: Held, *, again: bool) -> None:
        began = self._clock()
        self._attempts.begins(held, began)
        try:
            outcomes = await self._outcomes(held, again=again)
        except MissingBody as error:
            why = str(error)  # not the sender's fault, nor the recipient's: never a bounce
            await self._store.settle(held, lambda record: lifecycle.parked(record, why))
            maillog.parked(held.key, why)
            self._attempts.parked(held.key, why)
            return
        finally:
            self._attempts.over(held.key)
        now = self._clock()

        def change(record: Record) -> Record:
            chance = retry.chance(f"{held.key} {record.attempts}")
            return lifecycle.after_attempt(
                record, outcomes, began=began, now=now, rules=self._rules(), chance=chance
            )

        settled = await self._store.settle(held, change)
        maillog.attempted(held, outcomes, settled, seconds=now - began)
        self._attempts.stored(held, outcomes, settled, began=began, now=now)

    async def _outcomes(self, held: Held, *, again: bool) -> Mapping[str, Outcome]:
        record = held.record
        try:
            mail = _mail(held, await self._store.body(held), again=again)
            return reply_kinds.named(await self._courier.deliver(mail))
        except (MissingBody, Unavailable):
            raise
        except Exception:  # noqa: BLE001 - promise 3: an unknown error is temporary
            maillog.bug(f"courier for {held.key}")
            text = "Internal error; will try again. (#4.3.0)"
            why = Deferred(text=text, status="4.3.0", kind="server_trouble", unasked=True)
        return dict.fromkeys(record.waiting, why)

    async def _which_held(self, subject: str, _data: bytes) -> bytes:
        """Answers `w.inflight.<shard>`: [[mail id, unit], ...] of this worker."""
        shard = int(subject.rsplit(".", 1)[1])
        return json.dumps([[k.mail_id, k.unit] for k in self._held if k.shard == shard]).encode()

    async def _held_elsewhere(self, key: Key) -> bool:
        """Asks the other workers before a job that was handed out before is done again."""
        answers = await self._bus.ask_all(subjects.inflight(key.shard), seconds=ASK_WORKERS)
        holders = sum([key.mail_id, key.unit] in json.loads(answer) for answer in answers)
        return holders > 1  # this worker is one of them


def _mail(held: Held, body: bytes, *, again: bool) -> Mail:
    """A unit with a VERP sender has one recipient (lifecycle.split)."""
    record = held.record
    return Mail(
        held.key,
        verp.sender_for(record.sender, record.waiting[0]),
        record.waiting,
        record.destination,
        body,
        record.attempts + 1,
        record.created,
        {r.address: Wish(r.notify, r.orcpt) for r in record.recipients if r.notify or r.orcpt},
        record.ret,
        record.envid,
        record.smtputf8,
        record.priority,
        {r.address: r.done for r in record.recipients if r.done},
        suspect=again or record.attempts > 0,
    )
