"""Keys that any text fits into, single values with compare-and-set, and the mirror."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import MemoryBus
from tubepost.errors import Conflict, Unavailable
from tubepost.keyed import Bucket, Mirror, Value, quoted, unquoted

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(TEXT)
def test_what_is_quoted_is_unquoted_to_the_same_in_lower_case(text: str) -> None:
    token = quoted(text)
    assert unquoted(token) == text.lower()
    assert re.fullmatch(r"[a-z0-9_=A-F-]*", token)


@given(TEXT, TEXT)
def test_two_texts_have_two_keys(one: str, two: str) -> None:
    assert (quoted(one) == quoted(two)) == (one.lower() == two.lower())


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("joe", "joe"),
        ("Joe.Doe", "joe=2Edoe"),
        ("a=b", "a=3Db"),
        ("*", "=2A"),
        (">", "=3E"),
        ("a b", "a=20b"),
        ("ö", "=C3=B6"),
        ("a_b-c", "a_b-c"),
    ],
)
def test_quoted(text: str, token: str) -> None:
    assert quoted(text) == token


@pytest.fixture
def bucket(memory_bus: MemoryBus) -> Bucket:
    return Bucket(memory_bus, "control")


async def test_a_value_is_read_back_with_its_revision(bucket: Bucket) -> None:
    revision = await bucket.put("a.b", {"x": [1, "ö"]}, expect=0)
    assert await bucket.get("a.b") == ({"x": [1, "ö"]}, revision)
    assert await bucket.get("a.c", leader=True) is None


async def test_an_empty_value_is_a_value_and_a_tombstone_is_none(bucket: Bucket) -> None:
    await bucket.put("a", {})
    assert await bucket.get("a") is not None
    revision = await bucket.put("a", None)
    assert await bucket.get("a", leader=True) is None
    await bucket.put("a", {"x": 1}, expect=revision)
    assert await bucket.get("a") is not None


async def test_an_old_revision_conflicts(bucket: Bucket) -> None:
    first = await bucket.put("a", {"n": 1}, expect=0)
    await bucket.put("a", {"n": 2}, expect=first)
    with pytest.raises(Conflict):
        await bucket.put("a", {"n": 3}, expect=first)
    with pytest.raises(Conflict):
        await bucket.put("a", None, expect=0)


async def test_a_bus_that_is_away_is_unavailable(bucket: Bucket, memory_bus: MemoryBus) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await bucket.get("a")


@contextlib.asynccontextmanager
async def running(mirror: Mirror) -> AsyncIterator[None]:
    task = asyncio.create_task(mirror.run())
    await mirror.loaded.wait()
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_mirror_has_what_was_there_and_what_comes(
    bucket: Bucket, memory_bus: MemoryBus
) -> None:
    changes: list[tuple[str, Value | None]] = []
    await bucket.put("a", {"n": 1})
    await bucket.put("gone", {"n": 1})
    tomb = await bucket.put("gone", None)
    mirror = Mirror(memory_bus, "control", lambda key, value: changes.append((key, value)))
    assert not mirror.loaded.is_set()
    async with running(mirror):
        assert {key: value for key, (value, _) in mirror.values.items()} == {"a": {"n": 1}}
        assert mirror.revisions["gone"] == tomb
        await mirror.seen(await bucket.put("b.c", {"n": 2}))
        await mirror.seen(await bucket.put("a", None))
    assert {key: value for key, (value, _) in mirror.values.items()} == {"b.c": {"n": 2}}
    assert changes == [("a", {"n": 1}), ("gone", None), ("b.c", {"n": 2}), ("a", None)]


async def test_listeners_are_called_for_each_change(bucket: Bucket, memory_bus: MemoryBus) -> None:
    heard: list[int] = []
    mirror = Mirror(memory_bus, "control")
    mirror.listeners.append(lambda: heard.append(len(mirror.values)))
    async with running(mirror):
        await mirror.seen(await bucket.put("a", {}))
        await mirror.seen(await bucket.put("b", {}))
    assert heard == [1, 2]


async def test_seen_returns_for_a_revision_that_is_long_there(
    bucket: Bucket, memory_bus: MemoryBus
) -> None:
    revision = await bucket.put("a", {})
    mirror = Mirror(memory_bus, "control")
    async with running(mirror):
        async with asyncio.timeout(5):
            await mirror.seen(revision)


@pytest.mark.parametrize("data", [b"null", b"[]", b"7", b"{", b"\xff"])
async def test_what_is_no_json_object_is_unavailable_and_never_none(
    bucket: Bucket, memory_bus: MemoryBus, data: bytes
) -> None:
    await memory_bus.append("$KV.control.a", data)
    for read in (bucket.get("a"), bucket.get("a", leader=True), bucket.last("a")):
        with pytest.raises(Unavailable, match="no JSON"):
            await read


async def test_a_mirror_goes_on_after_what_it_cannot_read(
    bucket: Bucket, memory_bus: MemoryBus
) -> None:
    told: list[str] = []
    await bucket.put("a", {"n": 1})
    await memory_bus.append("$KV.control.a", b"null")
    mirror = Mirror(memory_bus, "control", on_unreadable=lambda key, _why: told.append(key))
    async with running(mirror):
        assert told == ["a"]
        await mirror.seen(await bucket.put("a", {"n": 2}))
        assert {key: value for key, (value, _) in mirror.values.items()} == {"a": {"n": 2}}
