"""Many accounts at once, a page of addresses, and a quota with what is used of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.popauth.passwords import foreign_hash
from tests.popauth.directory import Office
from tests.popauth.test_api import client_of, is_problem
from tests.popauth.test_principals import app_of
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.errors import BadInput

PASSWORD = "correct horse"
DEAR = "$argon2id$v=19$m=1048576,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"


@pytest.fixture
async def http(real: Office) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app_of(real)) as client:
        for domain in ("a.example", "b.example"):
            await client.post("/v1/domains", json={"name": domain})
        yield client


async def add(http: httpx.AsyncClient, *accounts: dict[str, Any]) -> Any:
    answer = await http.post("/v1/accounts:bulk", json={"accounts": accounts})
    assert answer.status_code == 200
    return answer.json()


async def test_many_are_added_and_what_is_there_stays(
    http: httpx.AsyncClient, real: Office
) -> None:
    hashed = await real.passwords.make("staple battery")
    wrong = [
        {"address": "nobody", "password": PASSWORD},
        {"address": "weak@a.example", "password": "short"},
        {"address": "x@nowhere.example", "password": PASSWORD},
        {"address": "both@a.example", "password": PASSWORD, "hash": hashed},
        {"address": "dear@a.example", "hash": DEAR},
        {"address": "big@a.example", "password": PASSWORD, "quota": "much"},
    ]
    good = [
        {"address": "Ann@a.example", "password": PASSWORD, "quota": "10M", "name": "Ann"},
        {"address": "bob@b.example", "hash": hashed},
    ]
    done = await add(http, *wrong, *good)
    assert done["added"] == ["ann@a.example", "bob@b.example"]
    assert [each["address"] for each in done["refused"]] == [each["address"] for each in wrong]
    assert all(each["detail"] for each in done["refused"])
    bob = await real.directory.account(parse_address("bob@b.example"))
    assert bob
    assert await real.passwords.check(bob.password, "staple battery")
    again = await add(http, good[1] | {"hash": DEAR}, good[0] | {"password": "another horse"})
    assert again == {"added": [], "existing": ["bob@b.example", "ann@a.example"], "refused": []}
    assert (await http.get("/v1/accounts/ann@a.example")).json()["quota"] == "10485760S"
    counts = (await http.get("/v1/domains/a.example")).json()["counts"]
    assert counts["accounts"] == 1


async def test_five_hundred_are_one_batch(http: httpx.AsyncClient, real: Office) -> None:
    hashed = await real.passwords.make(PASSWORD)
    many = [{"address": f"u{n:03}@a.example", "hash": hashed} for n in range(500)]
    before = await real.bus.count(subjects.bucket_stream(subjects.DIRECTORY))
    assert len((await add(http, *many))["added"]) == 500
    after = await real.bus.count(subjects.bucket_stream(subjects.DIRECTORY))
    assert after - before == 501  # and the count of the domain
    too_many = {"accounts": [*many, many[0]]}
    is_problem(await http.post("/v1/accounts:bulk", json=too_many), 400)

    pages, after_ = [], ""
    while True:
        query = {"domain": "a.example", "kind": "account", "limit": "200", "after": after_}
        page = (await http.get("/v1/addresses", params=query)).json()
        pages.append([row["address"] for row in page["addresses"]])
        after_ = page["next"]
        if not after_:
            break
    assert [len(page) for page in pages] == [200, 200, 100]
    assert [address for page in pages for address in page] == [each["address"] for each in many]


async def test_a_limit_holds_for_all_of_a_domain(http: httpx.AsyncClient) -> None:
    await http.patch("/v1/domains/a.example", json={"limits": {"accounts": 1}})
    three = [
        {"address": f"{name}@{domain}", "password": PASSWORD}
        for name, domain in (("x", "a.example"), ("y", "a.example"), ("z", "b.example"))
    ]
    done = await add(http, *three)
    assert done["added"] == ["z@b.example"]
    assert {each["address"] for each in done["refused"]} == {"x@a.example", "y@a.example"}


@pytest.mark.parametrize("text", ["", "$1$salt$hash", DEAR, DEAR.replace("argon2id", "argon2i")])
def test_a_hash_that_no_login_should_have_to_check(text: str) -> None:
    with pytest.raises(BadInput):
        foreign_hash(text)


async def test_what_is_used_of_a_quota(http: httpx.AsyncClient, real: Office) -> None:
    new = {"address": "ann@a.example", "password": PASSWORD, "quota": "10M"}
    await http.post("/v1/accounts", json=new)
    shown = {"name": "ann@a.example", "quota": "10485760S"}
    alone = (await http.get("/v1/quota/ann@a.example")).json()
    assert alone == shown | {"octets": None, "mails": None}

    async def room(_subject: str, data: bytes) -> bytes:
        return b'{"used": 4000, "mails": 2}' if data == b"ann@a.example" else b"{}"

    await real.bus.answer(subjects.QUOTA_ROOM, room, group="local")
    told = (await http.get("/v1/quota/Ann@a.example")).json()
    assert told == shown | {"octets": 4000, "mails": 2}
    of_domain = (await http.get("/v1/quota/a.example")).json()
    assert of_domain == {"name": "a.example", "quota": "NOQUOTA", "octets": None, "mails": None}


async def test_what_is_done_with_mail(http: httpx.AsyncClient) -> None:
    await http.post("/v1/domains", json={"name": "c.example", "alias_of": "a.example"})
    new = {"address": "ann@a.example", "password": PASSWORD}
    await http.post("/v1/accounts", json=new)
    alias = {"address": "info@a.example", "to": ["ann@a.example", "x@far.example"]}
    await http.post("/v1/aliases", json=alias)
    found = (await http.get("/v1/resolve/info@c.example")).json()
    assert (found["address"], found["rule"], found["exists"]) == ("info@a.example", "alias", True)
    (action,) = found["actions"]
    assert (action["name"], action["to"]) == ("forward", ["ann@a.example", "x@far.example"])
    (store,) = (await http.get("/v1/resolve/ann@a.example")).json()["actions"]
    assert (store["name"], store["account"]) == ("store", "ann@a.example")
    nobody = (await http.get("/v1/resolve/nobody@a.example")).json()
    assert (nobody["exists"], nobody["actions"][0]["status"]) == (False, "5.1.1")
    assert "for another host" in is_problem(await http.get("/v1/resolve/x@far.example"), 404)
