"""Writes the directory: each change by compare-and-set, several keys at once or not at all.

A change carries who made it and what it changed in words; the 16 revisions that the bucket keeps of
each key are the history (services/popauth/history.py).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

from tubepost import maillog, subjects
from tubepost.directory import Directory
from tubepost.errors import BadInput, Conflict
from tubepost.keyed import Value, encoded, value_in
from tubepost.ports import Bus, Write

ACTOR = "Tubepost-Actor"
ACTION = "Tubepost-Action"
DIFF = "Tubepost-Diff"

ADMIN = "admin"
"""The actor where none is named."""

MAX_DIFF = 600
MAX_VALUE = 900_000
"""Octets; the bus takes a message of 1 MiB."""

ATTEMPTS = 20
"""How often a change is decided anew because somebody else was quicker."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Last:
    """What stands at a key now, by the leader's word. `revision`: 0 = it never had a value."""

    value: Value | None
    revision: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """A value for a key, None = a tombstone; only where `was` still stands there.

    `diff`: what is different, in words; never a password's. `headers`: for those that come later.
    """

    key: str
    value: Value | None
    was: Last
    diff: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


SKEW = 2.0
"""Seconds by which the clock of a local may be behind ours."""

_FOLLOWED = ("domain.", "account.")
"""Keys that every process hears of."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who does what to which domain or address: for the history and the log."""

    actor: str
    action: str
    what: str


class Changes:
    """Raises Conflict, Unavailable and StoreFull."""

    def __init__(self, bus: Bus, directory: Directory) -> None:
        self._bus, self._directory = bus, directory

    async def last(self, key: str) -> Last:
        """What stands at a key."""
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        subject = subjects.bucket_key(subjects.DIRECTORY, key)
        stored = await self._bus.read(stream, subject, leader=True)
        return Last(value_in(stored), stored.seq, stored.headers) if stored else Last(None, 0, {})

    async def write(self, act: Act, *changes: Change) -> None:
        """All of them or none; returns when this process knows them, too."""
        writes = [_write(act, change) for change in changes]
        revision = await self._append(writes)
        maillog.changed(act.action, act.what, act.actor)
        for number, change in enumerate(changes, revision - len(changes) + 1):
            if change.key.startswith(_FOLLOWED):
                await self._directory.seen(change.key, number)

    async def _append(self, writes: Sequence[Write]) -> int:
        if len(writes) > 1:
            return await self._bus.append_all(writes)
        (one,) = writes
        return await self._bus.append(one.subject, one.data, headers=one.headers, expect=one.expect)


def counted_since(now: float) -> float:
    """From when on a count of what lies in Maildirs may be believed where a quota begins now."""
    return int(now - SKEW)


async def decided(attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns: it reads, decides and writes; where it was overtaken, again."""
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except Conflict:
            continue
    raise Conflict("others change the same at the same time, again and again; try again")


def _write(act: Act, change: Change) -> Write:
    data = encoded(change.value)
    if len(data) > MAX_VALUE:
        raise BadInput(f"{act.what} would take {len(data)} octets; {MAX_VALUE} is the most")
    headers = {
        **change.headers,
        ACTOR: quote(act.actor),
        ACTION: act.action,
        DIFF: quote(shortened(change.diff), safe=" /@,:;=+"),
    }
    subject = subjects.bucket_key(subjects.DIRECTORY, change.key)
    return Write(subject, data, headers, change.was.revision)


def shortened(text: str) -> str:
    """For a header, which is no place for 10,000 members."""
    return text if len(text) <= MAX_DIFF else text[:MAX_DIFF] + "..."
