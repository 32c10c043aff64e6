"""Mails in the queue: accept, read, settle. The only module that knows how a mail lies on the bus.

It decides nothing about a mail's fate (lifecycle does) and holds no state of its own.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tubepost import lifecycle, record, subjects, verp
from tubepost.errors import Conflict, StoreFull, TubepostError, Unavailable
from tubepost.ports import Bus, Stored
from tubepost.record import Envelope, Held, Priority, Recipient, Record, State
from tubepost.routing import Route
from tubepost.subjects import Key

PATIENCE = 20.0
"""Seconds a write is repeated before it counts as failed: the election of a leader fits in."""

PAUSE = 0.25
"""Seconds between two tries of a write while the bus is away."""

LAG = 0.5
"""Seconds a leader may be behind its followers; up to 55 ms were seen."""

LOOKS = 5

T = TypeVar("T")


class MissingBody(TubepostError):
    """The record is there, a piece of its body is not."""


def new_mail_id(now: float) -> str:
    """13 hex digits of milliseconds and 10 random ones: sorts by time, is never used again."""
    return f"{int(now * 1000):013x}{secrets.token_hex(5)}"


async def patiently(write: Callable[[], Awaitable[T]], patience: float | None = PATIENCE) -> T:
    """Repeats a write that is safe to repeat while the bus is away.

    `None` = for ever, and while the store is full: the end of a mail has nobody to be refused to.
    """
    clock = asyncio.get_running_loop().time
    give_up = clock() + patience if patience is not None else float("inf")
    while True:
        try:
            return await write()
        except StoreFull:
            if patience is not None:
                raise
        except Unavailable:
            if clock() + PAUSE > give_up:
                raise
        await asyncio.sleep(PAUSE)


class IllegalChange(TubepostError):
    """A change that the state table does not have: a bug of ours, stopped before it is stored."""


class MailStore:
    """The queue on a bus with `shards` shards."""

    def __init__(self, bus: Bus, shards: int) -> None:
        self._bus = bus
        self._shards = shards

    async def accept(
        self,
        envelope: Envelope,
        routes: Sequence[Route],
        body: bytes,
        *,
        mail_id: str,
        now: float,
        priority: Priority = Priority.NORMAL,
    ) -> Key:
        """Puts a mail into the queue. When this returns, it is durable.

        `routes` are those of `envelope.recipients`, in order. Repeating it with the same `mail_id`
        stores nothing twice. Raises Unavailable (unknown whether stored) or StoreFull (not stored).
        """
        first = Record(
            state=State.PENDING,
            sender=envelope.sender,
            size=len(body),
            created=now,
            next_attempt=now,
            priority=priority,
            ret=envelope.ret,
            envid=envelope.envid,
            smtputf8=envelope.smtputf8,
        )
        most = 1 if verp.is_verp(envelope.sender) else record.UNIT_RECIPIENTS
        one_unit = len(set(routes)) == 1 and len(routes) <= most
        if not one_unit:
            chunks = await self._put_body(mail_id, body)
            split = replace(first, state=State.SPLIT, chunks=chunks, count=len(routes))
            return await self._put_split(split, envelope, routes, mail_id)
        first = replace(
            first,
            channel=routes[0].channel,
            destination=routes[0].destination,
            recipients=tuple(envelope.recipient(a) for a in envelope.recipients),
        )
        if len(body) > record.INLINE_LIMIT:
            first = replace(first, chunks=await self._put_body(mail_id, body))
            body = b""
        shard = subjects.shard_of(first.channel, first.destination, mail_id, self._shards)
        key = Key(shard, mail_id, "0")
        await self._create(key, first, body)
        return key

    async def claim(self, mail_id: str, body: bytes) -> bool:
        """Whether this body, of several messages, is the one that the mail has or is to get.

        Of several that come under one id the first has it, and may go on to `accept`. Not so: the
        mail has another, or has had one and is gone. A repeat has its own. Raises Unavailable.
        """
        subject, begin = subjects.body_chunk(mail_id, 0), body[: record.CHUNK]
        await patiently(lambda: self._bus.append(subject, begin, msg_id=subject))
        stored = await self._bus.read(subjects.MAIL, subject, leader=True)
        return stored is not None and stored.data == begin

    async def _put_body(self, mail_id: str, body: bytes, *, first: int = 0) -> int:
        """Stores the chunks of a body; returns how many. A failure leaves orphans, never a mail."""
        starts = range(0, max(len(body), 1), record.CHUNK)
        for index, start in enumerate(starts, first):
            subject = subjects.body_chunk(mail_id, index)
            chunk = body[start : start + record.CHUNK]
            await patiently(
                lambda s=subject, c=chunk: self._bus.append(s, c, msg_id=s)  # type: ignore[misc]
            )
        return len(starts)

    async def _put_split(
        self, split: Record, envelope: Envelope, routes: Sequence[Route], mail_id: str
    ) -> Key:
        """The payload lists the recipients; see `routes`."""
        shard = subjects.shard_of(subjects.LOCAL, "", mail_id, self._shards)
        key = Key(shard, mail_id, subjects.SPLIT_UNIT)
        recipients = (envelope.recipient(address) for address in envelope.recipients)
        rows = [
            [r.address, r.notify, r.orcpt, route.channel, route.destination]
            for r, route in zip(recipients, routes, strict=True)
        ]
        payload = json.dumps(rows).encode()
        if len(payload) > record.CHUNK:
            pieces = await self._put_body(mail_id, payload, first=split.chunks)
            payload = json.dumps(pieces).encode()
        await self._create(key, split, payload)
        return key

    async def routes(self, mail: Held) -> list[tuple[Recipient, Route]]:
        """The recipients of a mail that is to be split, with their routes. Raises MissingBody.

        Payload: [[address, notify, orcpt, channel, destination], ...], or how many pieces behind
        the body hold that list, where it is too long for one message.
        """
        rows = json.loads(mail.payload)
        if isinstance(rows, int):
            pieces = [
                await self._chunk(mail.key.mail_id, mail.record.chunks + n) for n in range(rows)
            ]
            rows = json.loads(b"".join(pieces))
        return [
            (Recipient(address, notify=notify, orcpt=orcpt), Route(*route))
            for address, notify, orcpt, *route in rows
        ]

    async def _create(self, key: Key, first: Record, payload: bytes) -> None:
        headers = {record.HEADER: record.encode(first)}
        await patiently(
            lambda: self._bus.append(key.record, payload, headers=headers, msg_id=str(key))
        )

    async def create_unit(self, key: Key, unit: Record) -> None:
        """Stores a unit of a split mail; does nothing where it exists already."""
        headers = {record.HEADER: record.encode(unit)}
        try:
            await patiently(
                lambda: self._bus.append(key.record, headers=headers, msg_id=str(key), expect=0)
            )
        except Conflict:
            return

    async def read(self, key: Key, *, leader: bool = True) -> Held | None:
        """The record and its payload. Raises UnreadableRecord, Unavailable."""
        stored = await self._bus.read(subjects.queue_stream(key.shard), key.record, leader=leader)
        return held(stored) if stored else None

    async def read_for_job(self, key: Key, seq: int, *, redelivered: bool) -> Held | None:
        """The record a job speaks of, or None where the job is out of date.

        A first delivery may read from any replica; what might be a repeat, and every "it is not
        there", is confirmed by the leader. In a cluster the leader may be behind whoever told of
        the record, by some milliseconds: it is asked until it knows the version, for LAG seconds.
        """
        if not redelivered:
            found = await self.read(key, leader=False)
            if found and found.seq == seq:
                return found
        for _ in range(LOOKS):
            found = await self.read(key, leader=True)
            if found and found.seq >= seq:
                return found if found.seq == seq else None
            await asyncio.sleep(LAG / LOOKS)
        return None

    async def body(self, mail: Held) -> bytes:
        """The whole body. Raises MissingBody where a chunk is gone."""
        return await self._beginning(mail, mail.record.chunks)

    async def head(self, mail: Held) -> bytes:
        """The beginning of the body, CHUNK octets or more, or all. Raises MissingBody."""
        return await self._beginning(mail, 1)

    async def _beginning(self, mail: Held, chunks: int) -> bytes:
        if mail.record.inline:
            return mail.payload
        pieces = [await self._chunk(mail.key.mail_id, k) for k in range(chunks)]
        return b"".join(pieces)

    async def pieces(self, mail: Held) -> AsyncIterator[bytes]:
        """The body piece by piece, never whole in memory. Raises MissingBody."""
        if mail.record.inline:
            yield mail.payload
        for index in range(mail.record.chunks):
            yield await self._chunk(mail.key.mail_id, index)

    async def _chunk(self, mail_id: str, index: int) -> bytes:
        subject = subjects.body_chunk(mail_id, index)
        for leader in (False, True):
            stored = await self._bus.read(subjects.MAIL, subject, leader=leader)
            if stored:
                return stored.data
        raise MissingBody(f"{subject} is not in the store")

    async def settle(self, mail: Held, change: Callable[[Record], Record]) -> Record | None:
        """Writes `change` of the record, durably; None where the record is gone by now.

        Repeats until the bus has it. Where somebody else changed the record meanwhile, `change` is
        made on what they wrote; where it changes nothing, nothing is written. A finished record is
        purged, unless its owner still has a body to remove: then it is stored as done.
        """
        while True:
            new = change(mail.record)
            if new == mail.record:
                return new
            try:
                await patiently(lambda m=mail, n=new: self._put(m, n), None)  # type: ignore[misc]
            except Conflict:
                now_there = await patiently(lambda m=mail: self.read(m.key), None)  # type: ignore[misc]
                if now_there is None:
                    return None
                if record.encode(now_there.record) == record.encode(new):
                    return new  # our own write, whose acknowledgement was lost
                mail = now_there
            else:
                return new

    async def _put(self, mail: Held, new: Record) -> None:
        if new.state not in lifecycle.TRANSITIONS[mail.record.state]:
            raise IllegalChange(f"{mail.key}: {mail.record.state} -> {new.state}")
        if new.state is State.DONE and (new.inline or new.group is not None):
            await self.forget(mail)
            return
        await self._bus.append(
            mail.key.record,
            b"" if new.state is State.DONE else mail.payload,
            headers={record.HEADER: record.encode(new)},
            expect=mail.seq,
            replace=True,
        )

    async def regroup(self, mail: Held, units: int) -> None:
        """Turns a split record into the group of so many units; nothing where that is done."""
        group = replace(mail.record, state=State.GROUP, count=units)
        with contextlib.suppress(Conflict):
            await patiently(lambda: self._put(replace(mail, payload=b""), group), None)

    async def forget(self, mail: Held) -> None:
        """Ends a record, whoever changed it since it was read, and tells the owner of its shard.

        What is delivered stays delivered: a newer version could only make it go out once more.
        """
        await self._bus.purge(subjects.queue_stream(mail.key.shard), mail.key.record)
        await self.tell_gone(mail.key, mail.seq)

    async def forget_key(self, key: Key) -> None:
        """Ends what lies on a queue subject, be it a record or not; no body is removed."""
        stream = subjects.queue_stream(key.shard)
        stored = await self._bus.read(stream, key.record, leader=True)
        if stored:
            await self._bus.purge(stream, key.record)
            await self.tell_gone(key, stored.seq)

    async def tell_gone(self, key: Key, seq: int) -> None:
        """Tells the owner of the shard that this version of a record is no longer there."""
        await self._bus.tell(subjects.done_hint(key.shard), subjects.hint(key, seq))

    async def forget_body(self, mail_id: str) -> None:
        """Removes a body. Before its record goes, so that no body is left without a record."""
        await self._bus.purge(subjects.MAIL, subjects.body(mail_id))

    async def units_left(self, mail_id: str) -> bool:
        """Whether a unit of a split mail is still there, by the word of every shard's leader."""
        return any(key.unit != subjects.SPLIT_UNIT for key in await self.keys_of(mail_id))

    async def keys_of(self, mail_id: str) -> list[Key]:
        """The records of a mail in every shard, by the leaders' word."""
        each = await asyncio.gather(
            *(
                self._bus.subjects(subjects.queue_stream(shard), Key(shard, mail_id, "*").record)
                for shard in range(self._shards)
            )
        )
        return [subjects.key_of(subject) for found in each for subject in found]


def held(stored: Stored) -> Held:
    """What a stream holds, as a record. Raises UnreadableRecord."""
    return Held(
        subjects.key_of(stored.subject),
        stored.seq,
        record.decode(stored.headers.get(record.HEADER)),
        stored.data,
    )
