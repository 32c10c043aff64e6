"""/v1/events: pages with a cursor, waiting for news, the life of one mail."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from services.scheduler import events_api as module
from services.scheduler.events_api import Reader, router
from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.admin import Health, create_app
from tubepost.errors import BadInput, NotFound, Unavailable
from tubepost.events import encoded

MAIL = "018bcfe568000" + "0123456abc"
SAME_BUCKET = "018bcfe568001" + "9999999abc"
OTHER = "018bcfe568002" + "0123456def"
AGES = 1e6


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def reader(memory_bus: MemoryBus, stopping: asyncio.Event) -> Reader:
    return Reader(memory_bus, stopping)


@pytest.fixture
async def http(reader: Reader) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    app.include_router(router(reader))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://scheduler/v1",
        headers={"Authorization": "Bearer secret"},
    ) as client:
        yield client


async def tell(bus: MemoryBus, kind: str, mail: str = MAIL, at: float = 1.0) -> None:
    event = {"event": kind, "mail": mail, "at": at, "by": "test/1"}
    await bus.tell(subjects.mail_events(mail), encoded(event))


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


# --- pages


async def test_pages_follow_one_another(memory_bus: MemoryBus, reader: Reader) -> None:
    for n in range(5):
        await tell(memory_bus, f"e{n}", (MAIL, OTHER)[n % 2])
    first = await reader.page(0, 2, 0)
    assert (names(first["events"]), first["next"]) == (["e0", "e1"], 2)
    assert [event["seq"] for event in first["events"]] == [1, 2]
    second = await reader.page(2, 10, 0)
    assert (names(second["events"]), second["next"]) == (["e2", "e3", "e4"], 5)
    assert await reader.page(5, 10, 0) == {"events": [], "next": 5}


async def test_what_is_no_event_is_shown_as_such(memory_bus: MemoryBus, reader: Reader) -> None:
    await memory_bus.tell("event.queue", b"\xff")
    await tell(memory_bus, "ended")
    assert names((await reader.page(0, 10, 0))["events"]) == ["unreadable", "ended"]


async def test_it_waits_for_the_first_event(
    memory_bus: MemoryBus, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER", 0)
    await tell(memory_bus, "old")
    asking = asyncio.create_task(reader.page(1, 10, AGES))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    await tell(memory_bus, "new")
    page = await asyncio.wait_for(asking, 10)
    assert (names(page["events"]), page["next"]) == (["new"], 2)


async def test_news_that_come_together_are_one_page(
    memory_bus: MemoryBus, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER", AGES)
    asking = asyncio.create_task(reader.page(0, 2, AGES))
    for _ in range(20):
        await asyncio.sleep(0)
    await tell(memory_bus, "one")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done(), "there may be more"
    await tell(memory_bus, "two")
    assert names((await asyncio.wait_for(asking, 10))["events"]) == ["one", "two"]


async def test_where_nothing_comes_the_page_is_empty(reader: Reader) -> None:
    assert await reader.page(0, 10, 0.001) == {"events": [], "next": 0}


async def test_what_is_there_is_not_waited_for(memory_bus: MemoryBus, reader: Reader) -> None:
    await tell(memory_bus, "there")
    page = await asyncio.wait_for(reader.page(0, 10, AGES), 10)
    assert names(page["events"]) == ["there"]


async def test_who_waits_is_let_go_when_the_service_stops(
    reader: Reader, stopping: asyncio.Event
) -> None:
    asking = asyncio.create_task(reader.page(0, 10, AGES))
    for _ in range(20):
        await asyncio.sleep(0)
    stopping.set()
    assert await asyncio.wait_for(asking, 10) == {"events": [], "next": 0}


async def test_a_bus_that_is_away_is_no_empty_page(memory_bus: MemoryBus, reader: Reader) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await reader.page(0, 10, 0)


class Silent(MemoryBus):
    """Follows for ever without a word, as a bus does whose server is away."""

    async def follow(self, *_: Any, **__: Any) -> AsyncGenerator[Any, None]:
        await asyncio.Event().wait()
        yield


async def test_a_bus_that_says_nothing_is_unavailable(
    clock: FakeClock, stopping: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READING", 0.001)
    with pytest.raises(Unavailable, match="cannot be read now"):
        await Reader(Silent(clock), stopping).page(0, 10, 0)


# --- one mail


async def test_the_life_of_a_mail_has_its_bounces_and_nobody_else_s(
    memory_bus: MemoryBus, reader: Reader
) -> None:
    await tell(memory_bus, "attempt", MAIL, at=2.0)
    await tell(memory_bus, "accepted", MAIL, at=1.0)
    await tell(memory_bus, "bounce of it", MAIL + "b0a1", at=3.0)
    await tell(memory_bus, "double", MAIL + "b0a1b0a1", at=4.0)
    await tell(memory_bus, "stranger", SAME_BUCKET)
    await tell(memory_bus, "stranger", OTHER)
    found = names(await reader.mail(MAIL))
    assert found == ["accepted", "attempt", "bounce of it", "double"]
    assert names(await reader.mail(MAIL + "b0a1")) == ["bounce of it", "double"]


async def test_a_bounce_is_not_taken_for_another(memory_bus: MemoryBus, reader: Reader) -> None:
    await tell(memory_bus, "first", MAIL + "b0a1")
    await tell(memory_bus, "tenth", MAIL + "b0a10")
    assert names(await reader.mail(MAIL + "b0a1")) == ["first"]


async def test_an_unknown_mail_is_not_found(memory_bus: MemoryBus, reader: Reader) -> None:
    await tell(memory_bus, "stranger", SAME_BUCKET)
    with pytest.raises(NotFound, match=MAIL):
        await reader.mail(MAIL)


@pytest.mark.parametrize("wrong", ["*", "a.b", ">", "x" * 201, "a b"])
async def test_what_cannot_be_a_mail_id_is_refused(reader: Reader, wrong: str) -> None:
    with pytest.raises(BadInput, match="no mail id"):
        await reader.mail(wrong)


# --- HTTP


async def test_a_page_begins_where_one_says(
    memory_bus: MemoryBus, clock: FakeClock, http: httpx.AsyncClient
) -> None:
    for n in range(4):
        await tell(memory_bus, f"e{n}")
        clock.advance(10)

    async def page(**query: float) -> list[str]:
        answer = await http.get("/events", params=query)
        assert answer.status_code == 200
        return names(answer.json()["events"])

    assert await page() == ["e0", "e1", "e2", "e3"]
    assert await page(last=1) == ["e3"]
    assert await page(last=0) == []
    assert await page(last=3, limit=1) == ["e1"]
    assert await page(after=2) == ["e2", "e3"]
    assert await page(since=clock() - 20) == ["e2", "e3"]


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=1001", "wait=21", "last=x"])
async def test_a_wrong_question_is_refused(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/events?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]


async def test_one_mail_over_http(memory_bus: MemoryBus, http: httpx.AsyncClient) -> None:
    await tell(memory_bus, "accepted")
    answer = await http.get("/events", params={"mail": MAIL})
    assert names(answer.json()["events"]) == ["accepted"]
    missing = await http.get("/events", params={"mail": OTHER})
    assert missing.status_code == 404
    assert OTHER in missing.json()["detail"]


async def test_without_the_token_nothing_is_told(http: httpx.AsyncClient) -> None:
    answer = await http.get("/events", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
