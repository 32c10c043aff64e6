"""Pull consumers with prefetch: how a stream is followed and how jobs are taken.

nats-py has `fetch`, which waits for whole batches; here requests overlap, so that a message is on
its way before the last one is done with. A consumer that is gone (server restart, memory stream
lost) is made again from the last sequence seen. Every `reconnected` event starts over at once.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from tubepost import subjects
from tubepost.ports import CaughtUp, Stored
from tubepost.tasks import heed_cancellation

SECOND = 1_000_000_000
HEARTBEAT = 5
EXPIRES = 30
FOLLOW_BATCH = 256
FOLLOW_BATCH_HEADERS = 512
"""Records asked for ahead. What is on its way stands before every other answer on the connection,
the lease's included: more of them, and an owner that loads a long queue loses its shard."""

BREATH = 64
"""Messages handed on before others on the loop may run."""

PAUSE = 0.2

NETWORK_ERRORS = (nats.errors.Error, TimeoutError, OSError, ConnectionError)


class Lost(Exception):
    """The consumer, or the connection it hung on, is gone."""


class Pull:
    """One inbox on one consumer. `ask` for messages, `take` them; None means: look around."""

    def __init__(self, client: Client, stream: str, consumer: str) -> None:
        self._nc = client
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._heard_lately = True
        self._lost = False
        self.outstanding = 0

    async def __aenter__(self) -> "Pull":
        self._subscription = await self._nc.subscribe(self._inbox, cb=self._heard)
        self._rearm()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        if self._subscription:
            with contextlib.suppress(
                *NETWORK_ERRORS
            ):  # closing, or reconnecting: nothing left to undo
                await self._subscription.unsubscribe()

    async def ask(self, count: int) -> None:
        """Asks for `count` more messages."""
        self.outstanding += count
        request = {
            "batch": count,
            "expires": EXPIRES * SECOND,
            "idle_heartbeat": HEARTBEAT * SECOND,
        }
        await self._nc.publish(self._next, json.dumps(request).encode(), reply=self._inbox)

    async def take(self) -> Msg | None:
        """The next message, or None after `wake` or when requests ran out. Raises Lost."""
        msg = await self._queue.get()
        if self._lost:
            raise Lost
        if msg is not None:
            self.outstanding -= 1
        return msg

    def left(self) -> list[Msg]:
        """What has come and was not taken."""
        found = []
        while not self._queue.empty():
            msg = self._queue.get_nowait()
            if msg is not None:
                found.append(msg)
        return found

    def wake(self) -> None:
        self._queue.put_nowait(None)

    def lose(self) -> None:
        self._lost = True
        self.wake()

    async def _heard(self, msg: Msg) -> None:
        self._heard_lately = True
        status = msg.headers.get("Status") if msg.headers and not msg.data else None
        match status:
            case None:
                self._queue.put_nowait(msg)
            case "100":  # idle heartbeat
                pass
            case "408" | "404":  # a request ran out; the rest of it will not come
                unserved = (msg.headers or {}).get("Nats-Pending-Messages", "0")
                self.outstanding = max(0, self.outstanding - int(unserved))
                self.wake()
            case _:  # 409 deleted, shut down, new leader; 503 nobody there
                self.lose()

    def _rearm(self) -> None:
        """Two heartbeats missed: the server has forgotten our requests."""
        if not self._heard_lately and self.outstanding:
            self.lose()
            return
        self._heard_lately = False
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(2 * HEARTBEAT + 1, self._rearm)


@contextlib.asynccontextmanager
async def _opened(
    client: Client, reconnected: asyncio.Event, stream: str, consumer: str
) -> AsyncIterator[Pull]:
    async with Pull(client, stream, consumer) as pull:

        async def lose_on_reconnect() -> None:
            await reconnected.wait()
            pull.lose()

        task = asyncio.create_task(lose_on_reconnect())
        try:
            yield pull
        finally:
            task.cancel()


async def follow(
    client: Client,
    reconnected: asyncio.Event,
    stream: str,
    subject: str,
    *,
    after: int,
    headers_only: bool,
) -> AsyncGenerator[Stored | CaughtUp, None]:
    """See ports.Bus.follow."""
    batch = FOLLOW_BATCH_HEADERS if headers_only else FOLLOW_BATCH
    last = after
    while True:
        try:
            consumer, pending = await _ephemeral(client, stream, subject, last, headers_only)
            async with _opened(client, reconnected, stream, consumer) as pull:
                caught_up = pending == 0
                if caught_up:
                    yield CaughtUp()
                async for msg in _messages(pull, batch):
                    place = place_of(msg.reply)
                    last = place.stream_seq
                    yield Stored(msg.subject, last, msg.headers or {}, msg.data, place.at)
                    if not caught_up and place.pending == 0:
                        caught_up = True
                        yield CaughtUp()
        except (Lost, *NETWORK_ERRORS):
            await asyncio.sleep(PAUSE)


async def _messages(pull: Pull, batch: int) -> AsyncIterator[Msg]:
    """With `batch` of them asked for ahead. Raises Lost."""
    for number in itertools.count():
        if pull.outstanding <= batch // 2:
            await pull.ask(batch)
        if number % BREATH == 0:
            await asyncio.sleep(0)  # what has come already is taken without waiting
        msg = await pull.take()
        if msg is not None:
            yield msg


async def _ephemeral(
    client: Client, stream: str, subject: str, last: int, headers_only: bool
) -> tuple[str, int]:
    """Makes a consumer that starts after `last`; its name, and how many messages await it."""
    config = {
        "ack_policy": "none",
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": last + 1,
        "filter_subject": subject,
        "headers_only": headers_only,
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 60 * SECOND,
    }
    request = json.dumps({"stream_name": stream, "config": config}).encode()
    answer = json.loads(
        (await client.request(f"$JS.API.CONSUMER.CREATE.{stream}", request, timeout=4)).data
    )
    heed_cancellation()
    if "error" in answer:
        raise Lost
    return answer["name"], int(answer["num_pending"])


@dataclass(frozen=True, slots=True)
class Place:
    """What the reply subject of a delivered message tells."""

    delivered: int
    stream_seq: int
    pending: int
    at: float
    """When the message was stored, seconds since 1970."""


def place_of(reply: str) -> Place:
    """Parses `$JS.ACK...`, in its old form of 9 tokens and the new one of 11 or 12 (ADR-15)."""
    tokens = reply.split(".")
    at = 4 if len(tokens) == 9 else 6
    stored = int(tokens[at + 3]) / SECOND
    return Place(int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 4]), stored)


class NatsJob:
    """See ports.Job."""

    __slots__ = ("_msg", "_nc")

    def __init__(self, client: Client, msg: Msg) -> None:
        self._nc = client
        self._msg = msg

    @property
    def subject(self) -> str:
        return self._msg.subject

    @property
    def data(self) -> bytes:
        return self._msg.data

    @property
    def redelivered(self) -> bool:
        return place_of(self._msg.reply).delivered > 1

    async def working(self) -> None:
        await self._ack(b"+WPI")

    async def finish(self) -> None:
        await self._ack(b"+ACK")

    async def give_back(self) -> None:
        """Not begun: another worker may have it at once."""
        await self._ack(b"-NAK")

    async def _ack(self, kind: bytes) -> None:
        with contextlib.suppress(*NETWORK_ERRORS):  # a lost ack only repeats a read
            await self._nc.publish(self._msg.reply, kind)


class JobSource:
    """Jobs of one channel for at most `slots` deliveries at a time."""

    def __init__(
        self, client: Client, reconnected: asyncio.Event, channel: str, slots: int
    ) -> None:
        self._nc, self._reconnected, self._channel = client, reconnected, channel
        self._slots = slots
        self._running = 0
        self._pull: Pull | None = None

    def release(self) -> None:
        """One delivery is over."""
        self._running -= 1
        if self._pull and self._free() >= self._enough():
            self._pull.wake()

    async def jobs(self) -> AsyncIterator[NatsJob]:
        """For ever; waits while DISPATCH is not there."""
        while True:
            try:
                async with _opened(
                    self._nc, self._reconnected, subjects.DISPATCH, self._channel
                ) as pull:
                    self._pull = pull
                    try:
                        async for msg in self._messages(pull):
                            self._running += 1
                            yield NatsJob(self._nc, msg)
                    finally:
                        for msg in pull.left():
                            await NatsJob(self._nc, msg).give_back()
            except (Lost, *NETWORK_ERRORS):
                await asyncio.sleep(PAUSE)
            finally:
                self._pull = None

    async def _messages(self, pull: Pull) -> AsyncIterator[Msg]:
        while True:
            free = self._free()
            if free and (free >= self._enough() or not pull.outstanding):
                await pull.ask(free)
            msg = await pull.take()
            if msg is not None:
                yield msg

    def _free(self) -> int:
        return self._slots - self._running - (self._pull.outstanding if self._pull else 0)

    def _enough(self) -> int:
        """Asking for single jobs would cost a message each; a quarter of the slots at a time."""
        return max(1, self._slots // 4)
