"""Who changed what: in words, newest first, never a password or its hash."""

import httpx
import pytest

from services.popauth import diffs, history
from services.popauth.accounts import Forwarding
from services.popauth.domains import DomainWish, LimitsWish
from services.popauth.lists import ListWish
from tests.popauth.directory import Office
from tests.popauth.test_api import client_of, is_problem
from tests.popauth.test_principals import app_of
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import Account, account_key, entry_value
from tubepost.keyed import Bucket
from tubepost.provision import HISTORY

PASSWORD = "correct horse"
ANN = parse_address("ann@example.net")


async def fill(some: Office) -> None:
    """A domain, and a life in it."""
    desk = some.desk
    await desk.domains.add("example.net", by="root")
    limits = LimitsWish(accounts=5)
    await desk.domains.change("example.net", DomainWish(quota="1G", limits=limits), "root")
    await desk.accounts.add_account("ann@example.net", PASSWORD, by="eve")
    await desk.accounts.change(
        "ann@example.net", {"no_pop": True}, Forwarding(["é@far.example", "bob@far.example"]), "eve"
    )
    await desk.accounts.set_password("ann@example.net", "staple battery", by="ann@example.net")
    await desk.lists.add("news@example.net", ListWish(owner="ann@example.net"), "eve")
    await desk.lists.join("news@example.net", ["bob@far.example"], "eve")
    await desk.accounts.remove_account("ann@example.net", "root")


async def test_what_was_done_in_a_domain(real: Office) -> None:
    await fill(real)
    found = await real.desk.history.of_domains(["example.net"], 0, 100)
    assert [(each.actor, each.action, each.what, each.diff) for each in found] == [
        ("root", "account removed", "ann@example.net", "removed"),
        ("eve", "members added", "news@example.net", "members: +bob@far.example"),
        ("eve", "list added", "news@example.net", "owner: ann@example.net"),
        ("ann@example.net", "password changed", "ann@example.net", "password changed"),
        (
            "eve",
            "account changed",
            "ann@example.net",
            "flags: +no_pop; forward: +bob@far.example +é@far.example",
        ),
        ("eve", "account added", "ann@example.net", "home: a0/example.net/73/ann"),
        (
            "root",
            "domain changed",
            "example.net",
            "quota: NOQUOTA -> 1073741824S; accounts: 0 -> 5",
        ),
        ("root", "domain added", "example.net", ""),
    ]
    assert [each.at for each in found] == sorted((each.at for each in found), reverse=True)
    assert await real.desk.history.of_domains([""], 0, 100) == found
    assert await real.desk.history.of_domains(["example.net"], 0, 3) == found[:3]
    of_ann = await real.desk.history.of_address(ANN, 0, 100)
    assert of_ann == [each for each in found if each.what == "ann@example.net"]
    middle = found[3].at
    since = await real.desk.history.of_domains(["example.net"], middle, 100)
    assert since == [each for each in found if each.at >= middle]


async def test_it_looks_back_as_far_as_it_has_to(
    real: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(real)
    whole = await real.desk.history.of_domains(["example.net"], 0, 100)
    monkeypatch.setattr(history, "REACH", 1)
    assert await real.desk.history.of_domains(["example.net"], 0, 100) == whole
    for limit in range(1, len(whole)):
        found = await real.desk.history.of_domains(["example.net"], 0, limit)
        assert found == whole[:limit]
        since = await real.desk.history.of_domains(["example.net"], whole[limit].at, 100)
        assert since == [each for each in whole if each.at >= whole[limit].at]


async def test_no_password_and_no_hash_is_in_it(real: Office) -> None:
    await fill(real)
    shown = repr(await real.desk.history.of_domains([""], 0, 100))
    for secret in ("argon2", "horse", "battery"):
        assert secret not in shown


async def test_sixteen_changes_of_each_are_kept(real: Office) -> None:
    await real.desk.domains.add("example.net")
    await real.desk.accounts.add_account("ann@example.net", PASSWORD)
    for number in range(HISTORY + 4):
        await real.desk.accounts.set_quota("ann@example.net", f"{number + 1}M")
    found = await real.desk.history.of_address(ANN, 0, 100)
    assert len(found) == HISTORY
    assert found[0].diff == "quota: 19922944S -> 20971520S"


async def test_what_an_earlier_release_wrote_has_no_words(real: Office) -> None:
    account = Account(str(ANN), "example.net/73/ann", "hash")
    await Bucket(real.bus, subjects.DIRECTORY).put(account_key(ANN), entry_value(account))
    (found,) = await real.desk.history.of_address(ANN, 0, 100)
    assert (found.actor, found.action, found.diff) == ("", "changed by an earlier release", "")


async def test_who_it_was_comes_from_the_header_of_the_command(real: Office) -> None:
    """Who holds the admin token says who he is; a domain's administrator is who he is."""
    async with client_of(app_of(real)) as http:
        named = {"X-Tubepost-Actor": "root at\thost"}
        await http.post("/v1/domains", json={"name": "example.net"}, headers=named)
        new = {"name": "joe", "domains": ["example.net"]}
        token = (await http.post("/v1/tokens", json=new)).json()["token"]
        joe = {"Authorization": f"Bearer {token}", "X-Tubepost-Actor": "root"}
        await http.post(
            "/v1/accounts", json={"address": str(ANN), "password": PASSWORD}, headers=joe
        )
        query = {"domain": "example.net"}
        found = (await http.get("/v1/history", params=query, headers=joe)).json()
        assert [each["actor"] for each in found] == ["joe", "root at?host"]
        both: dict[str, str] = query | {"address": str(ANN)}
        answer: httpx.Response = await http.get("/v1/history", params=both)
        assert "not both" in is_problem(answer, 400)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep": False}, "keep: yes -> no"),
        ({"name": "Ann"}, "name: none -> Ann"),
        ({"password": "other"}, "password changed"),
        ({"forward": ("b@x.example",)}, "forward: +b@x.example -a@x.example"),
        ({}, ""),
    ],
)
def test_a_change_in_words(change: dict[str, object], words: str) -> None:
    before = Account(str(ANN), "home", "hash", forward=("a@x.example",))
    fields = {name: getattr(before, name) for name in Account.__slots__} | change
    assert diffs.of_entry(before, Account(**fields)) == words
