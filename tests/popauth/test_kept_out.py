"""Flags of an account or its domain keep users out, and a user's own password."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.popauth import brake
from services.popauth.connection import Accepted, Refused
from services.popauth.domains import DomainWish, LimitsWish
from tests.fakes import FakeClock
from tests.popauth.directory import Office
from tests.popauth.test_api import client_of, is_problem
from tests.popauth.test_logins import CLIENT, logins
from tests.popauth.test_principals import app_of
from tubepost import subjects
from tubepost.errors import BadInput
from tubepost.relay_list import RelayList

ANN = "ann@example.net"
PASSWORD = "correct horse"


@pytest.fixture
async def town(real: Office) -> Office:
    await real.desk.domains.add("example.net")
    await real.desk.accounts.add_account(ANN, PASSWORD)
    return real


async def auth(some: Office, password: str) -> Any:
    question = json.dumps({"user": ANN, "password": password}).encode()
    return json.loads(await logins(some, some.bus).check(subjects.AUTH_CHECK, question))


@pytest.mark.parametrize(
    ("flag", "pop3", "smtp"),
    [
        ("no_pop", "this account may not use POP3", "accepted"),
        ("no_smtp", "", "no_smtp"),
        ("locked", "this account is locked", "locked"),
        ("must_change", "the password has to be changed first", "must_change"),
        ("hold", "", "accepted"),
    ],
)
async def test_what_a_flag_keeps_out(town: Office, flag: str, pop3: str, smtp: str) -> None:
    """A wrong password is a wrong password, whatever flags there are."""
    await town.desk.accounts.set_flags(ANN, {flag: True})
    found = await logins(town, town.bus).login(ANN, PASSWORD, CLIENT)
    assert found == Refused(flag, pop3) if pop3 else isinstance(found, Accepted)
    assert (await auth(town, PASSWORD))["result"] == smtp
    wrong = await logins(town, town.bus).login(ANN, "wrong", CLIENT)
    assert wrong == Refused("wrong name or password")
    assert await auth(town, "wrong") == {"result": "refused"}
    listed = await RelayList(town.bus, lambda: 1_700_000_000.0).entries()
    assert bool(listed) == (not pop3)


async def test_a_domain_keeps_all_its_accounts_out(town: Office) -> None:
    flags = ["no_pop", "no_smtp", "no_relay"]
    await town.desk.domains.change("example.net", DomainWish(limits=LimitsWish(flags=flags)))
    with capture_logs() as lines:
        found = await logins(town, town.bus).login(ANN, PASSWORD, CLIENT)
    assert isinstance(found, Refused)
    assert [(line["event"], line["flag"]) for line in lines] == [("login.kept_out", "no_pop")]
    assert await auth(town, PASSWORD) == {"result": "no_smtp"}
    limits = LimitsWish(flags=["no_relay"])
    await town.desk.domains.change("example.net", DomainWish(limits=limits))
    assert isinstance(await logins(town, town.bus).login(ANN, PASSWORD, CLIENT), Accepted)
    assert await RelayList(town.bus, lambda: 1_700_000_000.0).entries() == []


async def test_a_user_changes_his_own_password(town: Office) -> None:
    """No token is asked for; `must_change` is done with it."""
    await town.desk.accounts.set_flags(ANN, {"must_change": True})
    async with client_of(app_of(town)) as http:
        http.headers.pop("Authorization")

        async def change(old: str, new: str, address: str = ANN) -> Any:
            body = {"address": address, "old": old, "new": new}
            return await http.put("/v1/self/password", json=body)

        wrong = [await change("wrong", "staple battery")]
        wrong += [
            await change(PASSWORD, "staple battery", address)
            for address in ("bob@example.net", "bob@nowhere.example", "no address")
        ]
        assert {is_problem(answer, 403) for answer in wrong} == {"wrong name or password"}
        assert "8 to 255" in is_problem(await change(PASSWORD, "short"), 400)
        assert "choose another" in is_problem(await change(PASSWORD, PASSWORD), 400)
        assert (await change(PASSWORD, "staple battery")).status_code == 204
        account = await town.desk.accounts.get(ANN)
        assert account.flags == frozenset()
        assert await town.passwords.check(account.password, "staple battery")
        (newest, *_) = await town.desk.history.of_domains([""], 0, 1)
        assert (newest.actor, newest.diff) == (ANN, "password changed; flags: -must_change")

        await town.desk.accounts.set_flags(ANN, {"locked": True})
        locked = await change("staple battery", "another horse")
        assert is_problem(locked, 400) == "this account is locked"
        assert is_problem(await change("wrong", "another horse"), 403) == "wrong name or password"


@pytest.mark.parametrize("address", [ANN, "bob@example.net"])
async def test_passwords_cannot_be_guessed_quickly(town: Office, address: str) -> None:
    """Whether there is such an account cannot be told; others are not held up."""
    async with client_of(app_of(town)) as http:

        async def change(old: str, whose: str) -> Any:
            body = {"address": whose, "old": old, "new": "staple battery"}
            return await http.put("/v1/self/password", json=body)

        for guess in range(brake.MOST):
            is_problem(await change(f"guess {guess}", address.upper()), 403)
        town.passwords.checked.clear()
        assert "15 minutes" in is_problem(await change(PASSWORD, address), 429)
        assert town.passwords.checked == [], "nothing is hashed for it"
        is_problem(await change(PASSWORD, "carl@example.net"), 403)


def test_a_brake_lets_go_after_a_while_and_for_who_knows_the_password() -> None:
    clock = FakeClock()
    held = brake.Brake(clock)
    for _ in range(brake.MOST):
        assert not held.holds("ann")
        held.tried("ann")
    assert held.holds("ann")
    clock.advance(brake.WINDOW)
    assert not held.holds("ann")
    for _ in range(brake.MOST):
        held.tried("ann")
    held.proven("ann")
    assert not held.holds("ann")


def test_a_brake_forgets_whom_it_heard_of_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brake, "KEPT", 2)
    held = brake.Brake(FakeClock())
    for name in ("ann", "bob", "carl"):
        for _ in range(brake.MOST):
            held.tried(name)
    assert [held.holds(name) for name in ("ann", "bob", "carl")] == [False, True, True]


async def test_a_wrong_name_costs_a_hash_too(town: Office) -> None:
    for address in ("bob@example.net", "ann@nowhere.example", "no address"):
        town.passwords.checked.clear()
        assert not await town.desk.accounts.change_own(address, PASSWORD, "staple battery")
        assert town.passwords.checked == [town.passwords.nobody]


async def test_what_was_changed_meanwhile_is_not_overwritten(town: Office) -> None:
    """The old password proves something only while it is the password."""
    real_make = town.passwords.make

    async def slow_make(password: str) -> str:
        hashed = await real_make(password)
        if password == "staple battery":
            await town.accounts.set_password(ANN, "the administrator's")
        return hashed

    town.passwords.make = slow_make  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="changed at the same time"):
        await town.desk.accounts.change_own(ANN, PASSWORD, "staple battery")
    account = await town.desk.accounts.get(ANN)
    assert await town.passwords.check(account.password, "the administrator's")
