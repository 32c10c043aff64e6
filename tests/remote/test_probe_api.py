"""GET /v1/probe: who may ask, what is refused, and that a login is never told."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from services.remote.plan import Plan
from services.remote.probe import Probe
from services.remote.probe_api import router
from tests.dns_server import DnsServer, serving_dns
from tests.remote.smtp_peer import MemoryPeer, listening, speaking
from tests.remote.test_probe import ZONE, probe
from tubepost.admin import Health, create_app
from tubepost.smtproutes import Login

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


def client(probe: Probe, **headers: str) -> httpx.AsyncClient:
    app = create_app(Health(), "secret")
    app.include_router(router(probe))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://remote/v1", headers=headers
    )


async def steps(http: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await http.get("/probe", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_an_address_is_asked_about_only_where_it_is_wished(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port, client(probe(zone, port), **TOKEN) as http:
        for wish, said in ((False, None), (True, "success")):
            found = await steps(http, address="ann@GOOD.example", rcpt=wish)
            assert [step["step"] for step in found] == ["plan", "dns", "hosts", "host", "end"]
            assert (found[3]["rcpt"] or {"outcome": None})["outcome"] == said
    assert sum(line.startswith("RCPT TO:<ann@good.example>") for line in peer.lines) == 1


async def test_without_a_connection(zone: DnsServer) -> None:
    async with client(probe(zone, 1), **TOKEN) as http:
        found = await steps(http, address="good.example", connect=False)
    assert [step["step"] for step in found] == ["plan", "dns", "hosts", "end"]


async def test_the_token_is_needed(zone: DnsServer) -> None:
    async with client(probe(zone, 1)) as http:
        assert (await http.get("/probe", params={"address": "good.example"})).status_code == 401


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"address": "two words"}, "'two words' is not a domain name"),
        ({"address": "@good.example"}, "'' is not the left side of an address"),
        ({"address": "good.example", "rcpt": True}, "rcpt needs an address, not a domain"),
    ],
)
async def test_what_is_no_address(zone: DnsServer, query: dict[str, Any], why: str) -> None:
    async with client(probe(zone, 1), **TOKEN) as http:
        answer = await http.get("/probe", params=query)
    assert (answer.status_code, answer.json()["detail"]) == (400, why)


async def test_too_many_are_told_to_come_back(zone: DnsServer) -> None:
    asking = probe(zone, 1)
    asking.running = 4
    async with client(asking, **TOKEN) as http:
        answer = await http.get("/probe", params={"address": "good.example"})
    assert answer.status_code == 503


async def test_a_login_is_told_as_there_and_never_shown(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:
        asking = probe(zone, port)
        plan = asking.courier.plan

        def with_login(destination: str) -> Plan:
            found = plan(destination)
            login = Login("smart-user", "hunter2")
            return replace(found, terms=replace(found.terms, login=login))

        object.__setattr__(asking.courier, "plan", with_login)
        async with client(asking, **TOKEN) as http:
            text = (await http.get("/probe", params={"address": "good.example"})).text
    assert json.loads(text.splitlines()[0])["login"] is True
    assert "hunter2" not in text
    assert "smart-user" not in text
