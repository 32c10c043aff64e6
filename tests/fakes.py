"""A clock that stands still and a Bus in memory. Written by hand, held to the contract suite.

The bus keeps what the ports promise and nothing more: one process, no disk, no permissions.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tubepost import subjects
from tubepost.errors import Conflict, StoreFull, Unavailable
from tubepost.ports import CaughtUp, Clock, Stored, Write
from tubepost.provision import DUPLICATE_WINDOW, HISTORY

Handler = Callable[[str, bytes], Awaitable[bytes | None]]
BUCKETS = (
    subjects.LEASES,
    subjects.RELAY,
    subjects.DIRECTORY,
    subjects.CONTROL,
    subjects.PAUSES,
    subjects.SECRETS,
    subjects.SUPPRESSED,
    subjects.HOSTS,
)
RELAY_WINDOW = 10_800.0


@dataclass(slots=True)
class FakeClock:
    """Seconds since 1970; only `advance` moves it."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(slots=True)
class _Stream:
    """Messages by sequence, oldest first; `ends`: when those with a time to live are over."""

    last: int = 0
    messages: dict[int, Stored] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def keep(self, message: Stored, at: float) -> None:
        self.messages[message.seq] = message
        self.times[message.seq] = at
        self.changed()

    def of(self, pattern: str, after: int = 0) -> list[Stored]:
        newer = (m for seq, m in self.messages.items() if seq > after)
        return [m for m in newer if _matches(pattern, m.subject)]

    def changed(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


@dataclass(slots=True)
class MemoryJob:
    """See ports.Job."""

    subject: str
    data: bytes
    redelivered: bool
    _bus: "MemoryBus"
    _seq: int

    async def working(self) -> None:
        self._bus.signs_of_life += 1

    async def finish(self) -> None:
        self._bus.dispatch.messages.pop(self._seq, None)


class MemoryBus:
    """See ports.Bus. `away` and `full` make it fail as a server does that is away or full."""

    def __init__(self, clock: Clock, shards: int = 2) -> None:
        self._clock = clock
        names = [subjects.queue_stream(shard) for shard in range(shards)]
        names += [subjects.bucket_stream(bucket) for bucket in BUCKETS]
        names += [subjects.MAIL, subjects.DISPATCH, subjects.EVENTS]
        self._streams = {name: _Stream() for name in names}
        self.dispatch = self._streams[subjects.DISPATCH]
        self._answers: list[tuple[str, str, Handler]] = []
        self._out: dict[str, int] = {}
        self._taken, self._repeated = set[int](), set[int]()
        self.signs_of_life, self.away, self.full = 0, False, False

    @property
    def connected(self) -> bool:
        return not self.away

    async def append(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        msg_id: str | None = None,
        expect: int | None = None,
        replace: bool = False,
        ttl: float | None = None,
    ) -> int:
        name = _stream_of(subject)
        stream = await self._stream(name)
        known = stream.ids.get(msg_id or "")
        if known and known[1] + DUPLICATE_WINDOW > self._clock():
            return known[0]
        there = stream.of(subject)
        if expect is not None and expect != (there[-1].seq if there else 0):
            raise Conflict(f"{subject} is not at {expect}")
        if self.full:
            raise StoreFull("the store is full")
        self._put(stream, subject, data, headers or {}, replace=replace)
        if msg_id is not None:
            stream.ids[msg_id] = (stream.last, self._clock())
        if ttl is not None or name == subjects.bucket_stream(subjects.RELAY):
            stream.ends[stream.last] = self._clock() + (ttl or RELAY_WINDOW)
        return stream.last

    def _put(
        self,
        stream: _Stream,
        subject: str,
        data: bytes,
        headers: Mapping[str, str],
        *,
        replace: bool = False,
    ) -> int:
        if replace or subject.startswith("$KV."):
            kept = 1 if replace else _revisions(subject)
            for old in stream.of(subject)[: 1 - kept or None]:
                del stream.messages[old.seq]
        stream.last += 1
        stored = Stored(subject, stream.last, dict(headers), data, self._clock())
        stream.keep(stored, self._clock())
        return stream.last

    async def append_all(self, writes: Sequence[Write]) -> int:
        stream = await self._stream(_stream_of(writes[0].subject))
        if len({_stream_of(write.subject) for write in writes}) > 1:
            raise Unavailable("atomic publish batch is incomplete")
        for write in writes:
            there = stream.of(write.subject)
            if write.expect is not None and write.expect != (there[-1].seq if there else 0):
                raise Conflict(f"{write.subject} is not at {write.expect}")
        if self.full:
            raise StoreFull("the store is full")
        for write in writes:
            last = self._put(stream, write.subject, write.data, write.headers)
        return last

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        found = (await self._stream(stream)).of(subject)
        return found[-1] if found else None

    async def purge(self, stream: str, subject: str, *, through: int | None = None) -> None:
        store = await self._stream(stream)
        for message in store.of(subject):
            if through is None or message.seq <= through:
                del store.messages[message.seq]
        store.changed()

    async def count(self, stream: str) -> int:
        return len((await self._stream(stream)).messages)

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        return sorted({message.subject for message in (await self._stream(stream)).of(pattern)})

    async def follow(
        self, stream: str, subject: str, *, after: int = 0, headers_only: bool = False
    ) -> AsyncGenerator[Stored | CaughtUp, None]:
        store = await self._stream(stream)
        last, caught_up = after, False
        while True:
            news = store.news
            for message in store.of(subject, last):
                last = message.seq
                yield replace(message, data=b"") if headers_only else message
            if not caught_up:
                caught_up = True
                yield CaughtUp()
            await news.wait()

    async def position(self, stream: str, *, since: float | None = None) -> int:
        store = await self._stream(stream)
        later = (seq for seq in store.messages if since is not None and store.times[seq] >= since)
        return min(later, default=store.last + 1) - 1

    async def work(self, channel: str, slots: int) -> AsyncIterator[MemoryJob]:
        self._out[channel] = 0
        while True:
            news = self.dispatch.news
            jobs = self.dispatch.of(subjects.jobs(channel))
            waiting = [job for job in jobs if job.seq not in self._taken]
            if not waiting or self._out[channel] >= slots:
                await news.wait()
                continue
            job = waiting[0]
            self._taken.add(job.seq)
            self._out[channel] += 1
            yield MemoryJob(job.subject, job.data, job.seq in self._repeated, self, job.seq)

    def release(self, channel: str) -> None:
        self._out[channel] -= 1
        self.dispatch.changed()

    def hand_out_again(self) -> None:
        """As after ack_wait: what was taken and is not finished is there for the taking."""
        self._repeated |= self._taken
        self._taken.clear()
        self.dispatch.changed()

    async def tell(self, subject: str, data: bytes = b"") -> None:
        await self._asked(subject, data)
        if _stream_of(subject) in self._streams and not self.full:
            await self.append(subject, data)

    async def ask(self, subject: str, data: bytes, *, seconds: float = 5.0) -> bytes:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for answer in await self._asked(subject, data):
                    return answer
        raise Unavailable(f"{subject}: no answer")

    async def ask_all(self, subject: str, *, seconds: float) -> list[bytes]:
        return await self._asked(subject, b"")

    async def answer(
        self, subject: str, handler: Handler, *, group: str = "", at_once: int = 1
    ) -> None:
        self._answers.append((subject, group, handler))

    async def _asked(self, subject: str, data: bytes) -> list[bytes]:
        """The answers: of one in each group, and of everyone who is in none."""
        if self.away:
            raise Unavailable("the bus is away")
        answering = [(g, h) for pattern, g, h in self._answers if _matches(pattern, subject)]
        one_of_each = {group: handler for group, handler in reversed(answering) if group}
        everyone = [handler for group, handler in answering if not group]
        answers = [await h(subject, data) for h in (*one_of_each.values(), *everyone)]
        return [answer for answer in answers if answer is not None]

    async def _stream(self, name: str) -> _Stream:
        await asyncio.sleep(0)  # a server lets others run, too
        if self.away or name not in self._streams:
            raise Unavailable(f"{name} did not answer")
        stream = self._streams[name]
        for seq in [seq for seq, end in stream.ends.items() if end <= self._clock()]:
            stream.messages.pop(seq, None)
        return stream


def _revisions(subject: str) -> int:
    """How many of a key a bucket keeps."""
    return HISTORY if subject.startswith(subjects.bucket_key(subjects.DIRECTORY, "")) else 1


def _stream_of(subject: str) -> str:
    """The stream that stores a subject; the subject itself where none does."""
    kind, name = f"{subject}.".split(".")[:2]
    bucket = subjects.bucket_stream(name)
    streams = {"q": f"QUEUE_{name}", "mail": subjects.MAIL, "d": subjects.DISPATCH, "$KV": bucket}
    streams["event"] = subjects.EVENTS
    return streams.get(kind, subject)


def _matches(pattern: str, subject: str) -> bool:
    """NATS wildcards: `*` is one token, `>` one or more at the end."""
    if pattern[-1] not in "*>":
        return pattern == subject
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">" and len(given) >= len(wanted):
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(
        w in ("*", g) for w, g in zip(wanted, given, strict=True)
    )
