"""The recipients that are not tried: kept, found again, over in time, taken back."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from services.remote import suppressions
from services.remote.suppressions import (
    NOT_THERE,
    NOT_THERE_SECONDS,
    Suppression,
    Suppressions,
    key_for,
)
from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus, CaughtUp, Stored

ANN = "ann@far.example"
HELD = Suppression(
    address=ANN,
    until=1_700_000_100.0,
    at=1_700_000_000.0,
    status="5.1.1",
    reply="550 5.1.1 no such user",
    mail_id="m",
)


class CountingBus(MemoryBus):
    """Says what was read."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.reads: list[tuple[str, bool]] = []

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        self.reads.append((subject.rsplit(".", 1)[1], leader))
        return await super().read(stream, subject, leader=leader)


@pytest.fixture
def counting(clock: FakeClock) -> CountingBus:
    return CountingBus(clock)


async def test_what_was_added_holds_until_its_end(memory_bus: MemoryBus, clock: FakeClock) -> None:
    held = Suppressions(memory_bus, clock)
    await held.add(HELD)
    assert await held.get(ANN) == HELD
    clock.advance(99)
    assert await held.of([ANN, "bob@far.example"]) == {ANN: HELD}
    clock.advance(1)
    assert await held.get(ANN) is None
    assert await held.of([ANN]) == {}


async def test_capitals_make_no_other_recipient(memory_bus: MemoryBus, clock: FakeClock) -> None:
    held = Suppressions(memory_bus, clock)
    await held.add(HELD)
    assert await held.of(["Ann@Far.Example"]) == {"Ann@Far.Example": HELD}
    assert key_for("zo\u00eb@x.y") == key_for("ZO\u00cb@x.y")
    assert key_for("\udce9@x.y") != key_for("?@x.y")


async def test_a_removed_one_is_a_tombstone(memory_bus: MemoryBus, clock: FakeClock) -> None:
    held = Suppressions(memory_bus, clock)
    await held.add(HELD)
    await held.remove("ANN@far.example")
    assert await held.of([ANN]) == {}
    subject = subjects.bucket_key(subjects.SUPPRESSED, key_for(ANN))
    left = await memory_bus.read(subjects.bucket_stream(subjects.SUPPRESSED), subject)
    assert left is not None, "a purge could bring the older one back after a crash"
    assert left.data == b""


async def test_that_one_is_suppressed_is_the_leader_s_word(
    counting: CountingBus, clock: FakeClock
) -> None:
    held = Suppressions(counting, clock)
    await held.add(HELD)
    await held.of([ANN])
    assert counting.reads == [(key_for(ANN), False), (key_for(ANN), True)]


async def test_that_one_is_not_is_believed_for_a_while(
    counting: CountingBus, clock: FakeClock
) -> None:
    held, other = Suppressions(counting, clock), Suppressions(counting, clock)
    await held.of([ANN])
    await other.add(HELD)
    assert await held.of([ANN]) == {}
    assert len(counting.reads) == 1
    clock.advance(NOT_THERE_SECONDS)
    assert await held.of([ANN]) == {ANN: HELD}


async def test_what_one_adds_itself_it_knows_at_once(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    held = Suppressions(memory_bus, clock)
    assert await held.of([ANN]) == {}
    await held.add(HELD)
    assert await held.of([ANN]) == {ANN: HELD}


async def test_how_many_are_believed_is_bounded(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert NOT_THERE == 10_000
    monkeypatch.setattr(suppressions, "NOT_THERE", 2)
    held = Suppressions(memory_bus, clock)
    await held.of(f"{n}@x.y" for n in range(5))
    assert list(held._not_there) == [key_for("3@x.y"), key_for("4@x.y")]


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b"7", b"{}", b'{"address": "ann@far.example"}',
     json.dumps(dict.fromkeys(Suppression.__slots__, "x")).encode()],
)  # fmt: skip
async def test_what_is_none_of_ours_suppresses_nobody(
    memory_bus: MemoryBus, clock: FakeClock, data: bytes
) -> None:
    await memory_bus.append(subjects.bucket_key(subjects.SUPPRESSED, key_for(ANN)), data)
    held = Suppressions(memory_bus, clock)
    assert await held.of([ANN]) == {}
    assert await held.page(limit=10) == ([], None)


def several(count: int, domain: str = "far.example") -> list[Suppression]:
    return [replace(HELD, address=f"{n}@{domain}") for n in range(count)]


async def test_pages_have_each_of_them_once(bus: NatsBus, clock: FakeClock) -> None:
    held = Suppressions(bus, clock)
    for one in several(5):
        await held.add(one)
    await held.remove("3@far.example")
    await held.add(replace(HELD, address="over@far.example", until=clock()))
    first, cursor = await held.page(limit=2)
    assert cursor is not None
    second, cursor = await held.page(cursor, limit=2)
    assert cursor is not None
    assert await held.page(cursor, limit=2) == ([], None)
    assert [one.address for one in (*first, *second)] == [f"{n}@far.example" for n in (0, 1, 2, 4)]


async def test_a_page_of_a_domain(memory_bus: MemoryBus, clock: FakeClock) -> None:
    held = Suppressions(memory_bus, clock)
    for one in (*several(2), *several(2, "Other.example"), *several(1, "notother.example")):
        await held.add(one)
    found, cursor = await held.page(limit=10, domain="other.example")
    assert ([one.address for one in found], cursor) == (
        ["0@Other.example", "1@Other.example"],
        None,
    )


async def test_a_page_looks_at_so_many_and_goes_on(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressions, "SCAN", 3)
    held = Suppressions(memory_bus, clock)
    for one in several(4):
        await held.add(one)
    found, cursor = await held.page(limit=10, domain="none.example")
    assert (found, cursor) == ([], 3)
    assert await held.page(3, limit=10, domain="none.example") == ([], None)


class SilentBus(MemoryBus):
    """Nothing comes from it, as when there is no connection."""

    async def follow(
        self, stream: str, subject: str, *, after: int = 0, headers_only: bool = False
    ) -> AsyncGenerator[Stored | CaughtUp, None]:
        await asyncio.Event().wait()
        yield CaughtUp()


async def test_a_page_of_a_bus_that_is_away_is_given_up(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressions, "PATIENCE", 0)
    with pytest.raises(Unavailable):
        await Suppressions(SilentBus(clock), clock).page(limit=10)


async def test_on_a_real_server(bus: Bus, clock: FakeClock) -> None:
    held = Suppressions(bus, clock)
    assert await held.of([ANN]) == {}
    await held.add(HELD)
    assert await Suppressions(bus, clock).of([ANN]) == {ANN: HELD}
    await held.remove(ANN)
    assert await Suppressions(bus, clock).of([ANN]) == {}
