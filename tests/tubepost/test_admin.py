"""Health, metrics, the token, and problem documents for every kind of error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from tubepost.admin import MOST_BODY, STATUS_OF, Health, create_app, open_to_all, protected
from tubepost.errors import BadInput, Conflict, Exists, NotFound, StoreFull, Unavailable
from tubepost.metrics import BUGS
from tubepost.runtime import admin_server

TOKEN = "correct horse"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
ERRORS: dict[str, Exception] = {
    "bad": BadInput("give a number"),
    "none": NotFound("there is no such mail"),
    "exists": Exists("it is there already"),
    "conflict": Conflict("somebody changed it"),
    "full": StoreFull("no room"),
    "away": Unavailable("the bus is away"),
    "bug": ZeroDivisionError("a secret of ours"),
}


@pytest.fixture
def health() -> Health:
    return Health()


def app_with(health: Health, token: str) -> FastAPI:
    app = create_app(health, token, "fsync")
    router = protected()

    @router.get("/fails/{how}")
    async def fails(how: str) -> None:
        raise ERRORS[how]

    @router.get("/counts/{number}")
    async def counts(number: int) -> int:
        return number

    own = open_to_all()

    @own.put("/self")
    async def of_all(new: dict[str, str]) -> int:
        return len(new)

    app.include_router(router)
    app.include_router(own)
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://admin")


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_with(health, TOKEN)) as client:
        yield client


def detail_of(answer: httpx.Response) -> str:
    """The sentence in a problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == answer.status_code
    return str(problem["detail"])


async def test_healthz_answers_whatever_is_missing(
    client: httpx.AsyncClient, health: Health
) -> None:
    health.checks["bus"] = lambda: "no connection"
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_readyz_tells_the_truth(client: httpx.AsyncClient, health: Health) -> None:
    away = ""
    health.checks |= {"bus": lambda: away, "disk": lambda: ""}
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "durability": "fsync", "reasons": {}}
    away = "no connection"
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["reasons"] == {"bus": "no connection"}


async def test_metrics_are_brought_up_to_date(health: Health) -> None:
    app = app_with(health, TOKEN)
    calls: list[str] = []
    app.state.before_metrics.append(lambda: calls.append("measured"))
    async with client_of(app) as client:
        answer = await client.get("/metrics")
    assert "tubepost_queue_records" in answer.text
    assert calls == ["measured"]


async def test_with_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/counts/7", headers=AUTHORIZED)
    assert (answer.status_code, answer.json()) == (200, 7)


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
     f"Basic {TOKEN}", "Bearer correct h\u00f6rse"],
)  # fmt: skip
async def test_without_the_token(client: httpx.AsyncClient, given: str | None) -> None:
    headers = {b"Authorization": given.encode()} if given is not None else {}
    answer = await client.get("/v1/counts/7", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in detail_of(answer)
    assert TOKEN not in answer.text


@pytest.mark.parametrize("given", ["Bearer ", "Bearer x", ""])
async def test_without_a_token_configured_v1_is_closed(health: Health, given: str) -> None:
    async with client_of(app_with(health, "")) as client:
        answer = await client.get("/v1/counts/7", headers={"Authorization": given})
    assert answer.status_code == 401


async def test_all_of_v1_needs_the_token(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/openapi.json")).status_code == 401


@pytest.mark.parametrize(
    ("how", "status"),
    [("bad", 400), ("none", 404), ("exists", 409), ("conflict", 409), ("full", 507), ("away", 503)],
)
async def test_an_error_is_a_problem_document(
    client: httpx.AsyncClient, how: str, status: int
) -> None:
    answer = await client.get(f"/v1/fails/{how}", headers=AUTHORIZED)
    assert answer.status_code == status == STATUS_OF[type(ERRORS[how])]
    assert detail_of(answer) == str(ERRORS[how])


async def test_a_bug_tells_nothing_and_is_counted(client: httpx.AsyncClient) -> None:
    before = BUGS._value.get()
    with capture_logs() as lines:
        answer = await client.get("/v1/fails/bug", headers=AUTHORIZED)
    assert [line["where"] for line in lines] == ["GET /v1/fails/bug"]
    assert answer.status_code == 500
    assert "secret" not in detail_of(answer)
    assert BUGS._value.get() == before + 1


async def test_a_wrong_argument_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/counts/many", headers=AUTHORIZED)
    assert answer.status_code == 400
    assert detail_of(answer).startswith("path.number: ")


async def test_what_is_not_there_is_a_problem_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nothing")
    assert answer.status_code == 404
    detail_of(answer)
    answer = await client.post("/healthz")
    assert answer.status_code == 405
    detail_of(answer)


async def test_a_stranger_cannot_fill_the_memory(client: httpx.AsyncClient) -> None:
    """A body is read before the token is looked at, and some resources want none."""
    read = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b" " * (MOST_BODY // 10)

    answer = await client.put("/v1/self", content=blocks())
    assert answer.status_code == 413
    assert detail_of(answer).startswith("a request has ")
    assert read == 11
    assert (await client.put("/v1/self", json={"a": "x" * (MOST_BODY - 100)})).json() == 1


async def test_a_request_that_never_ends_does_not_hold_up_the_end() -> None:
    """Such as one that follows a stream of a server that has gone."""
    app, begun = FastAPI(), asyncio.Event()

    @app.get("/endless")
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        async with admin_server(app, "127.0.0.1:0", grace=1) as address:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
        writer.close()
        assert (await reader.read()).partition(b"\r\n")[0] in (
            b"",
            b"HTTP/1.1 500 Internal Server Error",
        )
