"""The ports between us and the bus, and the shapes that pass through them.

Two adapters exist: tubepost.nats_bus on a real nats-server, tests/fakes.py in memory. One contract
suite (tests/contracts) holds both to what is written here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a stream holds it. `data` is empty when only headers were asked for.

    `at`: when it was stored, seconds since 1970 by the server's clock.
    """

    subject: str
    seq: int
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """In a `follow`: everything stored when it began (or began again) has now been seen."""


@dataclass(frozen=True, slots=True)
class Write:
    """One message of an `append_all`; `expect` as in `append`."""

    subject: str
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: int | None = None


class Job(Protocol):
    """One unit of work taken from DISPATCH. It comes again unless it is finished."""

    @property
    def subject(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    @property
    def redelivered(self) -> bool: ...

    async def working(self) -> None:
        """Says that the work goes on; without it the job is handed out again after ack_wait."""

    async def finish(self) -> None:
        """The work is done and its outcome is stored. Losing this only repeats a read."""


class Bus(Protocol):
    """JetStream, as far as Tubepost uses it.

    Every call ends within its time limit, with Unavailable when the bus did not answer; then it is
    unknown whether a write was stored, and the caller repeats it, same `msg_id`, same `expect`.
    """

    @property
    def connected(self) -> bool:
        """Whether there is a server now, as far as one can know."""
        ...

    async def append(  # noqa: PLR0913 - the store's own options
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
        """Stores a message and returns its sequence, after the store says it is durable.

        `msg_id`: a repeat within the duplicate window is not stored again. `expect`: the sequence
        of the subject's last message (0 = none), else Conflict. `replace`: ends older messages of
        the subject with a mark on disk. `ttl`: seconds to live. StoreFull where there is no room.
        """
        ...

    async def append_all(self, writes: Sequence[Write]) -> int:
        """Stores all messages or none, up to 1000, each on a subject of its own in one stream.

        Returns the sequence of the last; the others have those before it, in order. Durable when
        it returns. Raises Conflict where one of the expectations does not hold, StoreFull.
        """
        ...

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        """The last message of a subject. Only `leader=True` may be trusted to say "none".

        With `leader=True` the subject may have wildcards: the last message of all that match.
        """
        ...

    async def purge(self, stream: str, subject: str, *, through: int | None = None) -> None:
        """Removes a subject's messages, up to and including sequence `through` if given."""
        ...

    async def subjects(self, stream: str, pattern: str) -> list[str]:
        """The subjects that match and hold a message, in order, by the leader's word.

        Read in pages of 100,000; what is removed between two pages may hide others from the list.
        """
        ...

    def follow(
        self, stream: str, subject: str, *, after: int = 0, headers_only: bool = False
    ) -> AsyncGenerator[Stored | CaughtUp, None]:
        """Every message with a sequence above `after`, in order, for ever, across reconnects."""
        ...

    async def count(self, stream: str) -> int:
        """How many messages a stream holds, by the leader's word."""
        ...

    async def position(self, stream: str, *, since: float | None = None) -> int:
        """A stream's last sequence; with `since`: the last one stored before that instant.

        Give it to `follow` as `after` to see what comes now, or what came since then.
        """
        ...

    def work(self, channel: str, slots: int) -> AsyncIterator[Job]:
        """Jobs of one channel. At most `slots` are out at once: `release` gives one back."""
        ...

    def release(self, channel: str) -> None: ...

    async def tell(self, subject: str, data: bytes = b"") -> None:
        """Core publish: no promise. A stream stores it if the subject is one of its own."""

    async def ask(self, subject: str, data: bytes, *, seconds: float = 5.0) -> bytes:
        """Core request to whoever answers first. Unavailable when nobody does."""
        ...

    async def ask_all(self, subject: str, *, seconds: float) -> list[bytes]:
        """Core request to everyone: the answers that came within `seconds`."""
        ...

    async def answer(
        self,
        subject: str,
        handler: Callable[[str, bytes], Awaitable[bytes | None]],
        *,
        group: str = "",
        at_once: int = 1,
    ) -> None:
        """Answers requests (and hears hints) on a subject: handler(subject, data) -> reply.

        `at_once`: questions worked on at a time; one: in the order they come.
        """


Clock = Callable[[], float]
"""Seconds since 1970, UTC."""
