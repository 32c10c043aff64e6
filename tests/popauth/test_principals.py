"""Every resource under /v1, asked by everybody: who may, who may not, and what strangers hear."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.popauth.api import router
from services.popauth.lists import ListWish
from tests.fakes import FakeClock
from tests.popauth.directory import Office, office
from tests.popauth.test_api import client_of, is_problem
from tubepost.admin import NOT_YOURS, Health, Principal, create_app
from tubepost.nats_bus import NatsBus
from tubepost.relay_list import RelayList

CLOCK = FakeClock()
PASSWORD = "correct horse"

OPEN, OF_DOMAIN, ADMIN = "open", "of domain", "admin"

A = "{address}"
ADDRESS = {"address": A}
ALIAS = {"to": ["x@far.example"]}
LIST = {"owner": "x@far.example"}
MEMBERS = {"members": ["y@far.example"]}

TABLE: list[tuple[str, str, str, Any]] = [
    ("GET", "/domains", OPEN, None),
    ("GET", "/domains/{domain}", OF_DOMAIN, None),
    ("POST", "/domains", ADMIN, {"name": "{domain}"}),
    ("PATCH", "/domains/{domain}", ADMIN, {"limits": {"accounts": 7}}),
    ("DELETE", "/domains/{domain}", ADMIN, None),
    ("GET", "/accounts?domain={domain}", OF_DOMAIN, None),
    ("POST", "/accounts", OF_DOMAIN, ADDRESS | {"password": PASSWORD}),
    ("POST", "/accounts:bulk", OF_DOMAIN, {"accounts": [ADDRESS | {"password": PASSWORD}]}),
    ("PUT", f"/accounts/{A}/password", OF_DOMAIN, {"password": PASSWORD}),
    ("GET", f"/accounts/{A}/quota", OF_DOMAIN, None),
    ("PUT", f"/accounts/{A}/quota", OF_DOMAIN, {"quota": "10M"}),
    ("GET", f"/accounts/{A}", OF_DOMAIN, None),
    ("PATCH", f"/accounts/{A}", OF_DOMAIN, {"hold": True}),
    ("DELETE", f"/accounts/{A}", OF_DOMAIN, None),
    ("PUT", "/self/password", OPEN, ADDRESS | {"old": "wrong horse", "new": PASSWORD}),
    ("GET", "/aliases?domain={domain}", OF_DOMAIN, None),
    ("POST", "/aliases", OF_DOMAIN, ADDRESS | ALIAS),
    ("GET", f"/aliases/{A}", OF_DOMAIN, None),
    ("PUT", f"/aliases/{A}", OF_DOMAIN, ALIAS),
    ("DELETE", f"/aliases/{A}", OF_DOMAIN, None),
    ("GET", "/lists?domain={domain}", OF_DOMAIN, None),
    ("POST", "/lists", OF_DOMAIN, ADDRESS | LIST),
    ("GET", f"/lists/{A}", OF_DOMAIN, None),
    ("PATCH", f"/lists/{A}", OF_DOMAIN, LIST),
    ("DELETE", f"/lists/{A}", OF_DOMAIN, None),
    ("POST", f"/lists/{A}/members", OF_DOMAIN, MEMBERS),
    ("DELETE", f"/lists/{A}/members", OF_DOMAIN, MEMBERS),
    ("GET", "/addresses?domain={domain}", OF_DOMAIN, None),
    ("GET", f"/addresses/{A}", OF_DOMAIN, None),
    ("GET", f"/resolve/{A}", OF_DOMAIN, None),
    ("GET", f"/quota/{A}", OF_DOMAIN, None),
    ("GET", "/quota/{domain}", OF_DOMAIN, None),
    ("GET", f"/history?address={A}", OF_DOMAIN, None),
    ("GET", "/history?domain={domain}", OF_DOMAIN, None),
    ("GET", "/tokens", ADMIN, None),
    ("POST", "/tokens", ADMIN, {"name": "eve", "domains": ["{domain}"]}),
    ("DELETE", "/tokens/0123456789abcdef", ADMIN, None),
    ("GET", "/relay", ADMIN, None),
    ("GET", "/control", ADMIN, None),
    ("GET", "/control/databytes", ADMIN, None),
    ("PUT", "/control/databytes", ADMIN, {"lines": ["1000"]}),
]
IDS = [f"{method} {path}" for method, path, _, _ in TABLE]


def app_of(some: Office) -> FastAPI:
    app = create_app(Health(), "secret")
    app.state.tokens = some.desk.tokens.principal
    app.include_router(router(some.desk, RelayList(some.bus, CLOCK)))
    return app


@pytest.fixture
async def town(bus: NatsBus) -> AsyncIterator[Office]:
    """ours.example and theirs.example, of which other.example is another name; ann in each."""
    async with office(bus, CLOCK) as some:
        for domain in ("ours.example", "theirs.example"):
            await some.desk.domains.add(domain)
            await some.desk.accounts.add_account(f"ann@{domain}", PASSWORD)
            await some.desk.lists.add(f"news@{domain}", ListWish(owner=f"ann@{domain}"))
        await some.desk.domains.add("other.example", alias_of="theirs.example")
        yield some


@pytest.fixture
async def http(town: Office) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_of(town)) as client:
        yield client


async def token_for(town: Office, *domains: str) -> dict[str, str]:
    text, _ = await town.desk.tokens.add("joe", domains, 0, "admin")
    return {"Authorization": f"Bearer {text}"}


def filled(value: Any, domain: str, name: str = "ann") -> Any:
    text = json.dumps(value).replace(A, f"{name}@{domain}").replace("{domain}", domain)
    return json.loads(text)


async def ask(
    http: httpx.AsyncClient, row: tuple[str, str, str, Any], domain: str, **more: Any
) -> httpx.Response:
    method, path, _, body = row
    url = "/v1" + filled(path, domain, "news" if "/lists" in path else "ann")
    return await http.request(method, url, json=body and filled(body, domain), **more)


def test_the_table_has_every_resource(real: Office) -> None:
    described = app_of(real).openapi()["paths"]
    there = [
        (m.upper(), path) for path in described if path.startswith("/v1") for m in described[path]
    ]
    patterns = [(method, re.sub(r"\{[^}]*\}", "[^?]+", path)) for method, path in there]
    asked = [(m, "/v1" + filled(p, "x.example").partition("?")[0]) for m, p, _, _ in TABLE]
    for method, pattern in patterns:
        assert any(m == method and re.fullmatch(pattern, path) for m, path in asked), pattern
    for method, path in asked:
        assert any(m == method and re.fullmatch(pattern, path) for m, pattern in patterns), path


@pytest.mark.parametrize("row", TABLE, ids=IDS)
async def test_who_may(town: Office, http: httpx.AsyncClient, row: Any) -> None:
    who_may = row[2]
    joe = await token_for(town, "ours.example")
    nobody = await ask(http, row, "ours.example", headers={"Authorization": "Bearer other"})
    if row[1] == "/self/password":
        assert is_problem(nobody, 403) == "wrong name or password"
        return
    is_problem(nobody, 401)
    stranger = await ask(http, row, "theirs.example", headers=joe)
    own = await ask(http, row, "ours.example", headers=joe)
    if who_may == ADMIN:
        for answer in (stranger, own):
            assert is_problem(answer, 403).startswith("this needs the admin token")
        assert (await ask(http, row, "ours.example")).status_code not in (401, 403, 500)
        return
    assert own.status_code not in (401, 403, 500)
    if who_may == OF_DOMAIN:
        assert is_problem(stranger, 403) == NOT_YOURS
    else:
        assert stranger.json() == ["ours.example"]
    assert (await ask(http, row, "theirs.example")).status_code not in (401, 403, 500)


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row[2] == OF_DOMAIN], ids=lambda row: f"{row[0]} {row[1]}"
)
async def test_a_stranger_hears_the_same_whatever_there_is(
    town: Office, http: httpx.AsyncClient, row: Any
) -> None:
    """A domain of others, another name of it, one that does not exist: one answer."""
    joe = await token_for(town, "ours.example")
    domains = ("theirs.example", "other.example", "nowhere.example")
    answers = {(await ask(http, row, domain, headers=joe)).text for domain in domains}
    assert len(answers) == 1
    assert NOT_YOURS in answers.pop()


async def test_old_mail_is_not_a_new_tenant_s(town: Office, http: httpx.AsyncClient) -> None:
    """The domain may have been another's when the account was removed."""
    joe = await token_for(town, "ours.example")
    await http.delete("/v1/accounts/ann@ours.example", headers=joe)
    new = {"address": "ann@ours.example", "password": PASSWORD}
    answer = await http.post("/v1/accounts", json=new | {"old_mail": True}, headers=joe)
    assert is_problem(answer, 403).startswith("this needs the admin token")
    assert (await http.post("/v1/accounts", json=new, headers=joe)).status_code == 201


async def test_another_name_is_no_way_in(town: Office, http: httpx.AsyncClient) -> None:
    """The token names a domain that stands for another: that one's addresses are not its own."""
    joe = await token_for(town, "other.example")
    is_problem(await http.get("/v1/accounts/ann@other.example", headers=joe), 403)
    is_problem(await http.get("/v1/history?domain=other.example", headers=joe), 403)
    assert (await http.get("/v1/domains", headers=joe)).json() == ["other.example"]


async def test_without_a_domain_it_is_about_ones_own(town: Office, http: httpx.AsyncClient) -> None:
    joe = await token_for(town, "ours.example")
    assert (await http.get("/v1/accounts", headers=joe)).json() == ["ann@ours.example"]
    page = (await http.get("/v1/addresses", headers=joe)).json()
    assert [row["address"] for row in page["addresses"]] == [
        "ann@ours.example",
        "news@ours.example",
    ]
    changes = (await http.get("/v1/history", headers=joe)).json()
    assert {change["what"].rpartition("@")[2] for change in changes} == {"ours.example"}


async def test_a_token_is_shown_once_and_ends(town: Office, http: httpx.AsyncClient) -> None:
    new = {"name": "joe", "domains": ["Ours.example"], "expires": CLOCK.now + 60}
    answer = await http.post("/v1/tokens", json=new)
    assert answer.status_code == 201
    made = answer.json()
    joe = {"Authorization": f"Bearer {made.pop('token')}"}
    assert (await http.get("/v1/tokens")).json() == [made]
    assert made["domains"] == ["ours.example"]
    assert (await http.get("/v1/accounts", headers=joe)).status_code == 200
    assert "already" in is_problem(await http.post("/v1/tokens", json=new), 409)
    CLOCK.advance(60)
    is_problem(await http.get("/v1/accounts", headers=joe), 401)
    late = new | {"name": "late"}
    assert "passed already" in is_problem(await http.post("/v1/tokens", json=late), 400)
    for wrong, status in (({"domains": ["no.example"]}, 404), ({"domains": []}, 400)):
        is_problem(await http.post("/v1/tokens", json=new | {"name": "b"} | wrong), status)
    for name in ("", "admin", "two\nlines", "x" * 101):
        is_problem(await http.post("/v1/tokens", json=new | {"name": name, "expires": 0}), 400)
    assert (await http.delete(f"/v1/tokens/{made['id']}")).status_code == 204
    is_problem(await http.delete(f"/v1/tokens/{made['id']}"), 404)


async def test_a_revoked_token_is_none_everywhere(town: Office) -> None:
    text, token = await town.desk.tokens.add("joe", ["ours.example"], 0, "admin")
    async with office(town.bus, CLOCK) as other:
        found = other.desk.tokens.principal(text)
        assert found
        assert found == Principal("joe", frozenset({"ours.example"}))
        await other.desk.tokens.revoke(token.id, "admin")
        assert other.desk.tokens.principal(text) is None
    assert town.desk.tokens.principal("") is None


async def test_the_contract_is_whole(http: httpx.AsyncClient) -> None:
    """OpenAPI: each resource says what it is, what it answers, and what its errors are."""
    described = (await http.get("/v1/openapi.json")).json()
    for path, methods in described["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for method, resource in methods.items():
            where = f"{method} {path}"
            assert resource["summary"], where
            assert {"4XX", "5XX"} <= set(resource["responses"]), where
            for status, answer in resource["responses"].items():
                if status == "204":
                    continue
                assert all(body["schema"] for body in answer["content"].values()), where
