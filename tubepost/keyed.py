"""Small shared state: a bucket of JSON values, written by compare-and-set and mirrored in memory.

A key is removed by writing a tombstone, never by a purge: on one server an overwritten revision can
come back after a kill once the newer one is gone (jetstream.md, fact 3).
"""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from tubepost import subjects
from tubepost.errors import TubepostError, Unavailable
from tubepost.ports import Bus, CaughtUp, Stored

Value = dict[str, Any]

PATIENCE = 4.0
"""Seconds a mirror may be behind what was just written."""


class Unreadable(TubepostError):
    """What stands at a key is no JSON object."""


_UNSAFE = re.compile(r"[^a-z0-9_-]")


def quoted(text: str) -> str:
    """`text` in lower case as one token of a key: other characters become `=XX`."""
    return _UNSAFE.sub(lambda m: "".join(f"={b:02X}" for b in m[0].encode()), text.lower())


def unquoted(token: str) -> str:
    """The text that `quoted` made the token from."""
    octets = re.sub(r"=([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), token)
    return octets.encode("latin-1").decode()


class Bucket:
    """Reads and writes single keys. Raises Unavailable, and Conflict where `expect` is given."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self.name = name

    async def get(self, key: str, *, leader: bool = False) -> tuple[Value, int] | None:
        """The value and its revision; None where there is none, or a tombstone."""
        stream, subject = subjects.bucket_stream(self.name), subjects.bucket_key(self.name, key)
        stored = await self._bus.read(stream, subject, leader=leader)
        value = _readable(stored) if stored else None
        return (value, stored.seq) if stored and value is not None else None

    async def last(self, key: str) -> tuple[Value | None, int]:
        """By the leader's word: the value, None where there is none, and what to `expect`."""
        stream, subject = subjects.bucket_stream(self.name), subjects.bucket_key(self.name, key)
        stored = await self._bus.read(stream, subject, leader=True)
        return (_readable(stored), stored.seq) if stored else (None, 0)

    async def put(self, key: str, value: Value | None, *, expect: int | None = None) -> int:
        """Writes a value, or a tombstone for None; the new revision."""
        subject = subjects.bucket_key(self.name, key)
        return await self._bus.append(subject, encoded(value), expect=expect)


class Mirror:
    """A bucket, or its `keys`, in memory, kept up to date: `values`: key -> (value, revision).

    `on_unreadable` is told of a key that holds no JSON object, and why; without it that is a bug.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: str,
        on_change: Callable[[str, Value | None], None] | None = None,
        *,
        keys: str = ">",
        on_unreadable: Callable[[str, str], None] | None = None,
    ) -> None:
        self._bus, self._bucket, self._on_change, self._keys = bus, bucket, on_change, keys
        self._on_unreadable = on_unreadable
        self.values: dict[str, tuple[Value, int]] = {}
        self.revisions: dict[str, int] = {}
        self.listeners: list[Callable[[], None]] = []
        self.loaded = asyncio.Event()
        self._seen = 0
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Follows the bucket for ever."""
        stream = subjects.bucket_stream(self._bucket)
        every = subjects.bucket_key(self._bucket, self._keys)
        async for item in self._bus.follow(stream, every):
            if isinstance(item, CaughtUp):
                self.loaded.set()
            else:
                await self._apply(item)

    async def seen(self, revision: int) -> None:
        """Returns once this mirror holds a revision that was just written. Raises Unavailable."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: self._seen >= revision)
        except TimeoutError as error:
            raise Unavailable(f"{self._bucket}: revision {revision} does not arrive") from error

    async def _apply(self, stored: Stored) -> None:
        key = stored.subject.removeprefix(subjects.bucket_key(self._bucket, ""))
        try:
            self._change(key, value_in(stored), stored.seq)
        except Unreadable as error:
            if self._on_unreadable is None:
                raise
            self._on_unreadable(key, str(error))
        for listener in self.listeners:
            listener()
        async with self._news:
            self._seen = stored.seq
            self._news.notify_all()

    def _change(self, key: str, value: Value | None, revision: int) -> None:
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = (value, revision)
        self.revisions[key] = revision
        if self._on_change:
            self._on_change(key, value)


def encoded(value: Value | None) -> bytes:
    """As it stands in a bucket; a tombstone for None."""
    return json.dumps(value).encode() if value is not None else b""


def value_in(stored: Stored) -> Value | None:
    """None for a tombstone. Raises Unreadable."""
    return value_of(stored.data) if stored.data else None


def value_of(data: bytes) -> Value:
    """Raises Unreadable for what is no JSON object: `null` is no tombstone."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Unreadable(f"no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"no JSON object, but of type {type(value).__name__}")
    return value


def _readable(stored: Stored) -> Value | None:
    try:
        return value_in(stored)
    except Unreadable as error:
        raise Unavailable(f"{stored.subject}: {error}") from error
