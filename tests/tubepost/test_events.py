"""The emitter: it never blocks and never fails; what it drops it counts."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.fakes import FakeClock, MemoryBus
from tubepost import events as module
from tubepost import subjects
from tubepost.events import KINDS, NOBODY, Events, decoded, encoded
from tubepost.ports import CaughtUp
from tubepost.tasks import background

MAIL = "018bcfe568000" + "0123456abc"


@pytest.fixture
def events(memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Events:
    monkeypatch.setattr(module, "GATHER", 0)
    monkeypatch.setattr(module, "AWAY", 0)
    return Events(memory_bus, "local", "host-7", clock)


async def told(bus: MemoryBus) -> list[tuple[str, dict[str, Any]]]:
    """(subject, event) of all that is stored."""
    found = []
    async for item in bus.follow(subjects.EVENTS, subjects.EVENT_ANY):
        if isinstance(item, CaughtUp):
            break
        found.append((item.subject, json.loads(item.data)))
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any state, no one event
            await asyncio.sleep(0)


def dropped() -> float:
    return REGISTRY.get_sample_value("tubepost_events_dropped_total") or 0.0


async def test_an_event_is_on_the_subject_of_its_mail(
    memory_bus: MemoryBus, clock: FakeClock, events: Events
) -> None:
    async with background(events.run()):
        events.emit("accepted", MAIL, sender="joe@example.org", size=3)
        events.emit("operator", action="pause", at=5.0)
        await until(lambda: not events.waiting)
    common = {"at": clock(), "by": "local/host-7"}
    accepted = {"event": "accepted", "mail": MAIL, "sender": "joe@example.org", "size": 3}
    operator = {"event": "operator", "mail": "", "action": "pause", "at": 5.0}
    assert await told(memory_bus) == [
        ("event.mail.abc", common | accepted),
        ("event.queue", common | operator),
    ]


async def test_what_was_told_last_goes_out_at_the_end(
    memory_bus: MemoryBus, events: Events
) -> None:
    async with background(events.run()):
        await asyncio.sleep(0)
        for size in range(module.BREATH * 2):
            events.emit("accepted", MAIL, size=size)
    assert [event["size"] for _, event in await told(memory_bus)] == list(range(module.BREATH * 2))


async def test_what_comes_while_the_bus_is_away_waits(
    memory_bus: MemoryBus, events: Events
) -> None:
    memory_bus.away = True
    async with background(events.run()):
        events.emit("ended", MAIL)
        for _ in range(100):
            await asyncio.sleep(0)
        assert events.waiting == 1
        memory_bus.away = False
        await until(lambda: not events.waiting)
    assert len(await told(memory_bus)) == 1


async def test_a_full_buffer_drops_and_counts(
    memory_bus: MemoryBus, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUFFER", 2)
    before = dropped()
    for size in range(5):
        events.emit("accepted", MAIL, size=size)
    assert dropped() == before + 3
    async with background(events.run()):
        await until(lambda: not events.waiting)
    assert [event["size"] for _, event in await told(memory_bus)] == [0, 1]


async def test_what_waits_when_the_service_ends_without_a_bus_is_counted(
    memory_bus: MemoryBus, events: Events
) -> None:
    before = dropped()
    memory_bus.away = True
    async with background(events.run()):
        await asyncio.sleep(0)
        events.emit("ended", MAIL)
    assert dropped() == before + 1


async def test_an_event_that_cannot_be_sent_stops_nothing(
    memory_bus: MemoryBus, events: Events
) -> None:
    before = dropped()
    with capture_logs() as lines:
        async with background(events.run()):
            events.emit("accepted", MAIL, sender=b"not JSON")
            events.emit("ended", MAIL)
            await until(lambda: not events.waiting)
    assert [event["event"] for _, event in await told(memory_bus)] == ["ended"]
    assert dropped() == before + 1
    assert [line["event"] for line in lines] == ["bug"]


def test_nobody_takes_everything() -> None:
    NOBODY.emit("accepted", MAIL, at=1.0, size=1)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=5))
def test_an_event_is_read_as_it_was_told(fields: dict[str, object]) -> None:
    event = {**fields, "event": "accepted", "mail": MAIL, "by": "x/1", "at": 1.5}
    assert decoded(encoded(event)) == event


@given(st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"event":1,"mail":2,"by":3}']))
def test_what_is_no_event_is_told_as_such(data: bytes) -> None:
    assert decoded(data) == {"event": "unreadable", "mail": "", "by": "", "at": 0.0}


def test_no_field_has_the_name_of_one_that_all_have() -> None:
    common = {"at", "by", "event", "mail", "seq"}
    assert [name for fields in KINDS.values() for name in fields if name in common] == []
