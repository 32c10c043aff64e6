"""/v1/suppressions, and the whole of remote once: a refusal, and the next mail that meets it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.remote.app import serve
from services.remote.settings import Settings
from services.remote.suppressions import Suppressions
from services.remote.suppressions_api import router
from tests.contracts.reading import PATIENCE
from tests.fakes import FakeClock, MemoryBus
from tests.nats_server import NatsServer
from tests.remote.smtp_peer import MemoryPeer, listening, speaking
from tubepost import subjects
from tubepost.admin import Health, create_app
from tubepost.control import Control
from tubepost.keyed import Bucket
from tubepost.mailstore import MailStore
from tubepost.nats_bus import NatsBus
from tubepost.record import Envelope, Held, State
from tubepost.routing import Route
from tubepost.runtime import Context
from tubepost.subjects import Key

ANN = "ann@far.example"


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://remote",
        headers={"Authorization": "Bearer secret"},
    )


@pytest.fixture
def control(memory_bus: MemoryBus) -> Control:
    return Control(memory_bus, "me.example")


@pytest.fixture
async def http(
    memory_bus: MemoryBus, clock: FakeClock, control: Control
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Health(), "secret")
    app.include_router(router(Suppressions(memory_bus, clock), control, clock))
    async with client_of(app) as client:
        yield client


async def test_added_shown_listed_removed(http: httpx.AsyncClient, clock: FakeClock) -> None:
    new = {"address": "Ann@Far.example", "seconds": 60, "reason": "asked us\nnot to write"}
    answer = await http.post("/v1/suppressions", json=new)
    wanted = {
        "address": "Ann@far.example",
        "until": clock() + 60,
        "at": clock(),
        "status": "5.1.1",
        "reply": "asked us/not to write",
        "mail_id": "",
    }
    assert (answer.status_code, answer.json()) == (201, wanted)
    assert (await http.get("/v1/suppressions/ann@far.example")).json() == wanted
    listed = (await http.get("/v1/suppressions")).json()
    assert listed == {"suppressions": [wanted], "next": None, "seconds": 0}
    assert (await http.delete("/v1/suppressions/ann@far.example")).status_code == 204
    assert (await http.get("/v1/suppressions")).json()["suppressions"] == []
    for gone in (http.get, http.delete):
        assert (await gone("/v1/suppressions/ann@far.example")).status_code == 404


async def test_for_as_long_as_the_setting_says(
    http: httpx.AsyncClient, clock: FakeClock, control: Control
) -> None:
    refused = await http.post("/v1/suppressions", json={"address": ANN})
    assert (refused.status_code, "the setting suppress is 0" in refused.text) == (400, True)
    control._on_change("suppress", {"lines": ["3600"]})
    added = (await http.post("/v1/suppressions", json={"address": ANN})).json()
    assert added["until"] == clock() + 3600
    assert (await http.get("/v1/suppressions")).json()["seconds"] == 3600


@pytest.mark.parametrize(
    "new",
    [{}, {"address": "ann"}, {"address": ANN, "seconds": 0}, {"address": ANN, "seconds": 10**9},
     {"address": ANN, "seconds": 5, "reason": "x" * 201}],
)  # fmt: skip
async def test_what_is_no_suppression(http: httpx.AsyncClient, new: dict[str, Any]) -> None:
    assert (await http.post("/v1/suppressions", json=new)).status_code == 400


async def test_pages(http: httpx.AsyncClient) -> None:
    for number in range(3):
        new = {"address": f"{number}@far.example", "seconds": 60}
        await http.post("/v1/suppressions", json=new)
    first = (await http.get("/v1/suppressions", params={"limit": 2})).json()
    rest = (await http.get("/v1/suppressions", params={"after": first["next"]})).json()
    found = [one["address"] for page in (first, rest) for one in page["suppressions"]]
    assert found == ["0@far.example", "1@far.example", "2@far.example"]
    assert (await http.get("/v1/suppressions", params={"domain": "no domain"})).status_code == 400


async def test_a_domain_s_are_cleared_or_all(http: httpx.AsyncClient) -> None:
    for address in (ANN, "bob@far.example", "joe@other.example", "kim@third.example"):
        await http.post("/v1/suppressions", json={"address": address, "seconds": 60})

    async def clear(**which: Any) -> tuple[int, Any]:
        answer = await http.post("/v1/suppressions/clear", json=which)
        return answer.status_code, answer.json().get("removed")

    assert await clear() == (400, None)
    assert await clear(domain="far.example", all=True) == (400, None)
    assert await clear(domain="FAR.example") == (200, 2)
    left = (await http.get("/v1/suppressions")).json()["suppressions"]
    assert [one["address"] for one in left] == ["joe@other.example", "kim@third.example"]
    assert await clear(all=True) == (200, 2)


async def test_without_the_token_there_is_nothing(memory_bus: MemoryBus, clock: FakeClock) -> None:
    app = create_app(Health(), "secret")
    control = Control(memory_bus, "me.example")
    app.include_router(router(Suppressions(memory_bus, clock), control, clock))
    async with client_of(app) as client:
        client.headers["Authorization"] = "Bearer wrong"
        assert (await client.get("/v1/suppressions")).status_code == 401
        new = {"address": ANN, "seconds": 60}
        assert (await client.post("/v1/suppressions", json=new)).status_code == 401


# --- the whole service


async def failed(bus: NatsBus, mail_id: str) -> Held:
    """A mail for ann, once remote has its outcome in the record."""
    route = Route(subjects.REMOTE, "far.example")
    store, envelope = MailStore(bus, 2), Envelope("joe@example.org", (ANN,))
    key: Key = await store.accept(envelope, [route], b"x", mail_id=mail_id, now=time.time())
    held = await store.read(key)
    assert held is not None
    await bus.append(key.job(subjects.REMOTE), subjects.job(held.seq), expect=0)
    async with asyncio.timeout(PATIENCE):
        stream, subject = subjects.queue_stream(key.shard), key.record
        follow = bus.follow(stream, subject, after=held.seq, headers_only=True)
        async for item in follow:
            if getattr(item, "headers", None):
                break
        await follow.aclose()
    new = await store.read(key)
    assert new is not None
    return new


async def test_a_refused_recipient_meets_no_host_again(
    bus: NatsBus, nats_server: NatsServer
) -> None:
    peer = MemoryPeer({"RCPT": b"550 5.1.1 <ann@far.example>: User unknown\r\n"})
    health = Health()
    context = Context("remote", create_app(health, "secret"), health, asyncio.Event())
    settings = Settings(nats_url=nats_server.url, hostname="me.example", shards=2)
    async with listening(speaking(peer)) as port, client_of(context.app) as http:
        control = Bucket(bus, subjects.CONTROL)
        await control.put("smtproutes", {"lines": [f":127.0.0.1:{port}"]})
        await control.put("suppress", {"lines": ["3600"]})
        service = asyncio.create_task(serve(settings, context))
        await asyncio.wait_for(context.is_ready.wait(), PATIENCE)
        first = await failed(bus, "018bcfe56800000000abcd")
        [held] = (await http.get("/v1/suppressions")).json()["suppressions"]
        second = await failed(bus, "018bcfe56800000000abce")
        metrics = (await http.get("/metrics")).text
        context.stopping.set()
        await asyncio.wait_for(service, PATIENCE)
    assert (first.record.state, second.record.state) == (State.BOUNCE, State.BOUNCE)
    assert [r.kind for r in first.record.recipients] == ["unknown_user"]
    [recipient] = second.record.recipients
    assert (recipient.kind, recipient.status) == ("suppressed", "5.1.1")
    assert recipient.reply.endswith("it was said: 550 5.1.1 <ann@far.example>: User unknown")
    assert (held["address"], held["mail_id"]) == (ANN, "018bcfe56800000000abcd")
    asked = [line for line in peer.lines if line.startswith(("EHLO", "MAIL"))]
    assert len(asked) == 2, "the second mail met no host"
    recent = 'tubepost_remote_recent_recipients{destination="far.example",outcome="failure"} 2.0'
    assert recent in metrics
