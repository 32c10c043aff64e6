"""The queue by HTTP: lists, one mail, what is done to mails, pauses, and every refusal."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.scheduler import mails as mails_module
from services.scheduler.api import router
from tests.fakes import FakeClock, MemoryBus
from tests.scheduler.desk import BODY, FAR, JOE, Desk, at_work
from tubepost import lifecycle, subjects
from tubepost.admin import Health, create_app
from tubepost.outcome import Deferred, Outcome
from tubepost.record import CHUNK, Record, State
from tubepost.retry import Rules
from tubepost.subjects import Key

TOKEN = {"Authorization": "Bearer secret"}
ACTOR = {"X-Tubepost-Actor": "joe"}
SPLIT = "S"


@pytest.fixture
async def desk(memory_bus: MemoryBus, clock: FakeClock) -> AsyncIterator[Desk]:
    async with at_work(memory_bus, clock) as desk:
        yield desk


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    app.include_router(router(desk.views, desk.mails, desk.actions, desk.pauses, desk.told))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://scheduler/v1", headers=TOKEN
    ) as client:
        yield client


async def got(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


async def test_counts(http: httpx.AsyncClient, desk: Desk) -> None:
    await desk.accept("m1")
    found = await got(http, "/queue/counts")
    assert (found["messages"], found["unprocessed"], found["states"]["pending"]) == (1, 0, 1)


async def test_pages_with_filters(http: httpx.AsyncClient, desk: Desk) -> None:
    for n in range(3):
        await desk.accept(f"m{n}")
    await desk.accept("n", "bob@other.example", sender="")
    first = await got(http, "/queue", limit=2)
    assert [m["id"] for m in first["mails"]] == ["m0", "m1"]
    rest = await got(http, "/queue", after=first["next"])
    assert ([m["id"] for m in rest["mails"]], rest["next"]) == (["m2", "n"], None)
    [null] = (await got(http, "/queue", sender="<>"))["mails"]
    assert null["id"] == "n"
    [same] = (await got(http, "/queue", domain="other.example", state="pending", older=0))["mails"]
    assert same == null


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"domian": "x"}, "query.domian: Extra inputs are not permitted"),
        ({"state": "gone"}, "query.state: Input should be"),
        ({"channel": "x"}, "query.channel: Input should be"),
        ({"older": "x"}, "query.older: Input should be a valid number"),
        ({"newer": -1}, "query.newer: Input should be greater than or equal to 0"),
        ({"limit": 0}, "query.limit: Input should be greater than or equal to 1"),
        ({"limit": 201}, "query.limit: Input should be less than or equal to 200"),
    ],
)
async def test_a_filter_that_is_none(
    http: httpx.AsyncClient, query: dict[str, Any], why: str
) -> None:
    assert problem(await http.get("/queue", params=query), 400).startswith(why)
    if "limit" not in query:
        assert problem(await http.post("/queue/delete", params=query), 400).startswith(why)


async def test_one_mail(http: httpx.AsyncClient, desk: Desk) -> None:
    key = await desk.accept("m1", FAR)
    mail = await got(http, "/queue/m1")
    assert mail["headers"] == "Subject: hello\nX-Two: lines\n"
    assert (mail["state"], mail["size"], mail["sender"]) == ("pending", len(BODY), JOE)
    [unit] = mail["units"]
    assert (unit["unit"], unit["shard"], unit["stands"]) == ("0", key.shard, "ready")
    assert (unit["destination"], unit["attempts"]) == ("far.example", 0)
    assert unit["recipients"][0]["address"] == FAR
    body = await http.get("/queue/m1/body")
    assert (body.content, body.headers["content-type"]) == (BODY, "message/rfc822")


async def test_a_split_mail(http: httpx.AsyncClient, desk: Desk) -> None:
    await desk.split("m1")
    mail = await got(http, "/queue/m1")
    assert [(u["unit"], u["state"]) for u in mail["units"]] == [
        ("0", "pending"),
        ("1", "pending"),
        ("S", "group"),
    ]
    assert [u["count"] for u in mail["units"]] == [None, None, 2]
    assert (await http.get("/queue/m1/body")).content == BODY


async def test_a_mail_that_is_not_split_yet(
    http: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.settle_nothing(monkeypatch)
    await desk.accept("m1", FAR, "joe@example.org")
    mail = await got(http, "/queue/m1")
    [unit] = mail["units"]
    assert (unit["unit"], unit["state"], unit["count"]) == (SPLIT, "split", 2)
    assert [(r["address"], r["channel"]) for r in unit["recipients"]] == [
        (FAR, "remote"),
        ("joe@example.org", "local"),
    ]
    assert mail["headers"].startswith("Subject: hello")
    answer = await http.post("/queue/m1/delete")
    assert answer.json()["unchanged"][0]["why"].startswith("it is being split into its dest")


async def test_a_big_body_comes_in_pieces(http: httpx.AsyncClient, desk: Desk) -> None:
    body = b"Subject: big\r\n\r\n" + b"x" * (2 * CHUNK)
    await desk.accept("m1", body=body)
    async with http.stream("GET", "/queue/m1/body") as answer:
        assert b"".join([piece async for piece in answer.aiter_bytes()]) == body
    assert (await got(http, "/queue/m1"))["headers"] == "Subject: big\n"


async def test_a_body_that_is_gone(http: httpx.AsyncClient, desk: Desk) -> None:
    await desk.accept("m1", body=b"x" * CHUNK)
    await desk.store.forget_body("m1")
    why = problem(await http.get("/queue/m1/body"), 404)
    assert why == "the body of m1 is gone: mail.m1.0 is not in the store"
    assert (await got(http, "/queue/m1"))["headers"] is None


async def test_what_cannot_be_read(http: httpx.AsyncClient, desk: Desk) -> None:
    await desk.bus.append("q.1.bad.0", b"?", headers={"Tubepost": "not json"})
    await desk.until(lambda: desk.owners[1].unreadable)
    mail = await got(http, "/queue/bad")
    assert (mail["state"], mail["created"], mail["headers"]) == ("unreadable", None, None)
    assert mail["units"][0]["why"].startswith("not a queue record")
    assert "cannot be read" in problem(await http.get("/queue/bad/body"), 404)
    [listed] = (await got(http, "/queue", state="unreadable"))["mails"]
    assert listed["id"] == "bad"
    assert (await http.post("/queue/bad/delete")).json()["changed"] == 1


async def test_who_and_why(http: httpx.AsyncClient, desk: Desk) -> None:
    key = await desk.accept("m1")
    answer = await http.post("/queue/m1/hold", json={"reason": "spam?\nask"}, headers=ACTOR)
    assert answer.json() == {"matched": 1, "changed": 1, "unchanged": [], "next": None}
    note = (await desk.read(key)).record.note
    assert note
    assert (note.actor, note.why) == ("joe", "spam?/ask")
    shown = (await got(http, "/queue/m1"))["units"][0]
    assert (shown["stands"], shown["note"]["by"]) == ("held", "joe")
    await http.post("/queue/m1/release")
    note = (await desk.read(key)).record.note
    assert note
    assert (note.actor, note.why) == ("admin", "")


async def test_many(http: httpx.AsyncClient, desk: Desk) -> None:
    keys = [await desk.accept(f"m{n}", f"x@{n}.example") for n in range(5)]
    assert problem(await http.post("/queue/hold"), 400) == (
        "this is for every mail in the queue: give a filter, or all=true"
    )
    cursor, changed = "", 0
    while cursor is not None:
        answer = await http.post("/queue/hold", params={"all": True, "cursor": cursor})
        changed += answer.json()["changed"]
        cursor = answer.json()["next"]
    assert changed == 5
    assert {(await desk.read(key)).record.state for key in keys} == {State.HELD}


async def test_refusals(http: httpx.AsyncClient, desk: Desk) -> None:
    await desk.accept("m1")
    unknown = "there is no mail 'm2' in the queue; see: tubepost qread"
    for answer in (
        await http.get("/queue/m2"),
        await http.get("/queue/m2/body"),
        await http.post("/queue/m2/delete"),
    ):
        assert problem(answer, 404) == unknown
    for path in ("/queue/m1/fly", "/queue/fly?all=true"):
        assert problem(await http.post(path), 400).startswith("'fly' is nothing to do with a mail")
    answer = await http.post("/queue/hold", params={"all": True, "cursor": "x"})
    assert problem(answer, 400) == "'x' is not a cursor of this queue"
    answer = await http.post("/queue/m1/hold", json={"reason": 5})
    assert problem(answer, 400).startswith("body.reason: Input should be a valid string")
    assert problem(await http.get("/queue", headers={"Authorization": "x"}), 401)


async def test_a_mail_that_leaves_while_it_is_read(
    http: httpx.AsyncClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await desk.accept("m1")
    keys = mails_module.Mails.keys

    async def and_then_it_is_gone(self: mails_module.Mails, mail_id: str) -> list[Key]:
        found = await keys(self, mail_id)
        await desk.bus.purge(subjects.queue_stream(key.shard), key.record)
        return found

    monkeypatch.setattr(mails_module.Mails, "keys", and_then_it_is_gone)
    assert problem(await http.get("/queue/m1"), 404) == "mail 'm1' has just left the queue"


async def test_a_parked_mail_is_shown(http: httpx.AsyncClient, desk: Desk) -> None:
    key = await desk.accept("m1")
    await desk.store.settle(await desk.read(key), lambda r: lifecycle.parked(r, "a piece"))
    [unit] = (await got(http, "/queue/m1"))["units"]
    assert (unit["state"], unit["next_attempt"]) == ("parked", None)
    assert unit["recipients"][0]["reply"] == "a piece"


async def test_pauses(http: httpx.AsyncClient, desk: Desk) -> None:
    answer = await http.put("/pauses/Far.Example", json={"reason": "repairs"}, headers=ACTOR)
    assert (answer.status_code, answer.json()) == (200, {"what": "far.example"})
    assert desk.pauses.destinations == {"far.example"}
    [pause] = await got(http, "/pauses")
    assert (pause["what"], pause["by"], pause["why"]) == ("far.example", "joe", "repairs")
    assert (await http.delete("/pauses/far.example")).json() == {"what": "far.example"}
    assert await got(http, "/pauses") == []
    why = problem(await http.delete("/pauses/far.example"), 404)
    assert why == "far.example is not paused; see: tubepost queue pauses"
    assert problem(await http.put("/pauses/two words"), 400) == "'two words' is not a domain name"
    told = [(event["mail"], event["action"], event["actor"]) for event in desk.told.events]
    assert told == [("", "pause far.example", "joe"), ("", "resume far.example", "admin")]


async def test_destinations(http: httpx.AsyncClient, desk: Desk) -> None:
    """One that did not answer is backed off; flush and reset open it again."""
    key = await desk.accept("m1")
    owner = desk.owners[key.shard]
    gone = Deferred(text="connection refused", no_connection=True)
    desk.limits = replace(desk.limits, channel={"local": 1, "remote": 1})
    for attempts in range(1, 4):
        owner.wake()
        await desk.until(lambda: key in owner.shard.out)
        await fails(desk, key, gone)
        await desk.until(lambda n=attempts: remembers(desk, key) == n)  # type: ignore[misc]
        desk.clock.advance(3600)
    desk.clock.advance(-3600)
    [trouble] = await got(http, "/destinations")
    assert (trouble["name"], trouble["error"]) == ("far.example", "connection refused")
    assert trouble["until"] > desk.clock()
    summary = await got(http, "/destinations/Far.Example")
    assert (summary["units"], summary["state"]) == (1, trouble)
    assert problem(await http.get("/destinations/two words"), 400)
    answer = await http.post("/destinations/Far.Example/reset", headers=ACTOR)
    assert answer.json() == {"destination": "far.example"}
    assert [t["until"] for t in await got(http, "/destinations")] in ([], [0])
    assert problem(await http.post("/destinations/two words/reset"), 400)


async def fails(desk: Desk, key: Key, outcome: Outcome) -> None:
    held, now = await desk.read(key), desk.clock()
    outcomes = dict.fromkeys(held.record.waiting, outcome)

    def change(record: Record) -> Record:
        return lifecycle.after_attempt(record, outcomes, began=now, now=now, rules=Rules())

    await desk.store.settle(held, change)


def remembers(desk: Desk, key: Key) -> int:
    held = desk.remembered(key)
    return held.record.attempts if held else 0
