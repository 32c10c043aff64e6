"""Logins: who is let in, that the relay is open before anybody hears of it, and what faults do."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.popauth.connection import Accepted, Refused, TryLater
from services.popauth.homes import home_of
from services.popauth.logins import Logins
from services.popauth.secrets import Secrets
from tests.fakes import MemoryBus
from tests.popauth.directory import Office, office
from tubepost import subjects
from tubepost.address import parse_address
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.ports import Bus
from tubepost.relay_list import RelayList, key_for

PASSWORD = "correct horse"
CLIENT = "8.8.4.4"  # any address that may be listed; nothing is sent there
NOW = 1_700_000_000.0
ROOT = Path("/mail")


async def set_up(office: Office, bus: Bus) -> Logins:
    """ann@example.net exists; the logins to be tested."""
    await office.accounts.add_domain("example.net")
    await office.accounts.add_account("ann@example.net", PASSWORD)
    return logins(office, bus)


def logins(office: Office, bus: Bus) -> Logins:
    return Logins(
        office.directory,
        office.passwords,
        RelayList(bus, lambda: NOW),
        office.control,
        secrets=Secrets(bus),
        mail_root=ROOT,
        window=600,
        instance="popauth-1",
    )


@pytest.mark.parametrize("user", ["ann@example.net", "Ann@EXAMPLE.net"])
async def test_the_right_password(real: Office, bus: NatsBus, user: str) -> None:
    found = await (await set_up(real, bus)).login(user, PASSWORD, CLIENT)
    home = ROOT / home_of(parse_address("ann@example.net"))
    assert found == Accepted("ann@example.net", home)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("ann@example.net", "wrong"),
        ("ann@example.net", ""),
        ("ann@example.net", PASSWORD + " "),
        ("bob@example.net", PASSWORD),
        ("ann@example.org", PASSWORD),
        ("ann", PASSWORD),
        ("", ""),
        ("ann@example.net\x00", PASSWORD),
        ("bob@example.net", "nobody has this password"),
    ],
)
async def test_who_is_refused_opens_nothing(
    real: Office, bus: NatsBus, user: str, password: str
) -> None:
    found = await (await set_up(real, bus)).login(user, password, CLIENT)
    assert isinstance(found, Refused)
    assert await RelayList(bus, lambda: NOW).entries() == []


@pytest.mark.parametrize("user", ["bob@example.net", "ann@nowhere.example", "not an address", ""])
async def test_a_wrong_name_costs_a_hash_too(
    in_memory: Office, memory_bus: MemoryBus, user: str
) -> None:
    """Else the time of the answer tells which names there are."""
    some = await set_up(in_memory, memory_bus)
    await some.login(user, PASSWORD, CLIENT)
    assert in_memory.passwords.checked == [in_memory.passwords.nobody]


async def test_the_relay_is_open_when_the_login_is_answered(real: Office, bus: NatsBus) -> None:
    """Promise 6: the leader has it at that very instant."""
    some = await set_up(real, bus)
    stream, key = subjects.bucket_stream("relay"), subjects.bucket_key("relay", key_for(CLIENT))
    assert await bus.read(stream, key, leader=True) is None
    assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)
    stored = await bus.read(stream, key, leader=True)
    assert stored is not None
    assert json.loads(stored.data) == {
        "user": "ann@example.net",
        "at": NOW,
        "until": NOW + 600,
        "by": "popauth-1",
        "users": {"ann@example.net": NOW},
        "warned": 0.0,
    }


class SlowRelay(MemoryBus):
    """Holds writes of the relay list back until `go`."""

    def hold(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def append(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        msg_id: str | None = None,
        expect: int | None = None,
        replace: bool = False,
        ttl: float | None = None,
    ) -> int:
        if subject.startswith("$KV.relay."):
            self.asked.set()
            await self.go.wait()
        return await super().append(
            subject,
            data,
            headers=headers,
            msg_id=msg_id,
            expect=expect,
            replace=replace,
            ttl=ttl,
        )


async def test_nobody_hears_of_a_login_before_the_relay_is_open() -> None:
    bus = SlowRelay(lambda: NOW)
    bus.hold()
    async with office(bus) as some:
        login = asyncio.create_task(
            (await set_up(some, bus)).login("ann@example.net", PASSWORD, CLIENT)
        )
        await asyncio.wait_for(bus.asked.wait(), 10)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not login.done()
        bus.go.set()
        assert isinstance(await login, Accepted)


@pytest.mark.parametrize(
    ("ip", "networks", "listed"),
    [
        ("8.8.4.4", (), True),
        ("2600::1", (), True),
        ("127.0.0.1", (), False),
        ("::1", (), False),
        ("10.1.2.3", (), False),
        ("192.168.0.1", (), False),
        ("172.16.0.1", (), False),
        ("100.64.0.1", (), False),
        ("169.254.1.1", (), False),
        ("fe80::1", (), False),
        ("fd00::1", (), False),
        ("::ffff:10.1.2.3", (), False),
        ("::ffff:8.8.4.4", (), True),
        ("127.0.0.1", ("127.0.0.0/8",), True),
        ("127.0.0.1", ("127.0.0.2",), False),
        ("10.1.2.3", ("10.1.0.0/16",), True),
        ("10.2.2.3", ("10.1.0.0/16",), False),
        ("::ffff:10.1.2.3", ("10.1.0.0/16",), True),
        ("fd00::1", ("fd00::/8",), True),
    ],
)
async def test_which_addresses_come_onto_the_list(
    in_memory: Office, memory_bus: MemoryBus, ip: str, networks: tuple[str, ...], listed: bool
) -> None:
    """The address of a proxy, a cluster or a NAT would open the relay for all behind it."""
    await in_memory.control.set("relaynetworks", networks)
    some = await set_up(in_memory, memory_bus)
    assert isinstance(await some.login("ann@example.net", PASSWORD, ip), Accepted)
    assert (await RelayList(memory_bus, lambda: NOW).lookup(ip) is not None) == listed
    assert len(await RelayList(memory_bus, lambda: NOW).entries()) == listed


async def test_a_later_login_starts_the_window_over(real: Office, bus: NatsBus) -> None:
    await set_up(real, bus)
    now = NOW
    relay_list = RelayList(bus, lambda: now)
    some = logins(real, bus)
    some._relay_list = relay_list
    await some.login("ann@example.net", PASSWORD, CLIENT)
    now = NOW + 599
    await some.login("ann@example.net", PASSWORD, CLIENT)
    now = NOW + 1198
    assert await relay_list.lookup(CLIENT) is not None
    now = NOW + 1199
    assert await relay_list.lookup(CLIENT) is None
    assert await relay_list.entries() == []


async def test_an_account_that_cannot_be_looked_up_is_for_later(
    in_memory: Office, memory_bus: MemoryBus
) -> None:
    some = await set_up(in_memory, memory_bus)
    memory_bus.away = True
    assert await some.login("bob@example.net", PASSWORD, CLIENT) == TryLater()


async def test_a_relay_that_cannot_be_opened_keeps_nobody_from_his_mail(
    in_memory: Office, memory_bus: MemoryBus
) -> None:
    some = await set_up(in_memory, memory_bus)
    memory_bus.away = True
    assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)
    memory_bus.away = False
    assert await RelayList(memory_bus, lambda: NOW).lookup(CLIENT) is None


async def test_a_full_store_keeps_nobody_from_his_mail(
    in_memory: Office, memory_bus: MemoryBus
) -> None:
    some = await set_up(in_memory, memory_bus)
    memory_bus.full = True
    assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)


async def test_an_account_made_a_moment_ago_logs_in_elsewhere(real: Office, bus: NatsBus) -> None:
    async with office(bus) as other:
        some = await set_up(real, bus)
        assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)
        there = logins(other, bus)
        assert isinstance(await there.login("ann@example.net", PASSWORD, CLIENT), Accepted)


async def test_smtpd_may_ask(real: Office, bus: NatsBus) -> None:
    """auth.check says who it is, and opens no relay: AUTH is good for its own session."""
    some = await set_up(real, bus)
    await bus.answer(subjects.AUTH_CHECK, some.check, group="popauth")

    async def ask(user: str, password: str) -> dict[str, str]:
        question = {"user": user, "password": password, "client": CLIENT}
        answer = await bus.ask(subjects.AUTH_CHECK, json.dumps(question).encode())
        found: dict[str, str] = json.loads(answer)
        return found

    accepted = {"result": "accepted", "account": "ann@example.net"}
    assert await ask("Ann@example.net", PASSWORD) == accepted
    assert await ask("ann@example.net", "wrong") == {"result": "refused"}
    assert await ask("bob@example.net", PASSWORD) == {"result": "refused"}
    assert await RelayList(bus, lambda: NOW).entries() == []


async def test_smtpd_hears_that_it_cannot_be_told_now(
    in_memory: Office, memory_bus: MemoryBus
) -> None:
    some = await set_up(in_memory, memory_bus)
    memory_bus.away = True
    question = json.dumps({"user": "bob@example.net", "password": PASSWORD}).encode()
    answer = await some.check(subjects.AUTH_CHECK, question)
    assert json.loads(answer) == {"result": "unavailable"}


async def test_an_account_may_not_open_the_relay(real: Office, bus: NatsBus) -> None:
    """NO_RELAY (VADM-3): its mail can be read all the same."""
    some = await set_up(real, bus)
    await real.accounts.set_flags("ann@example.net", {"no_relay": True})
    assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)
    assert await RelayList(bus, lambda: NOW).entries() == []


async def test_an_account_may_not_use_auth(real: Office, bus: NatsBus) -> None:
    """NO_SMTP (AUTH-7): POP3 is not SMTP. A wrong password is a wrong password."""
    some = await set_up(real, bus)
    await real.accounts.set_flags("ann@example.net", {"no_smtp": True})

    async def check(password: str) -> dict[str, str]:
        question = json.dumps({"user": "ann@example.net", "password": password})
        found: dict[str, str] = json.loads(await some.check("auth.check", question.encode()))
        return found

    assert await check(PASSWORD) == {"result": "no_smtp"}
    assert await check("wrong") == {"result": "refused"}
    assert isinstance(await some.login("ann@example.net", PASSWORD, CLIENT), Accepted)


async def test_nobody_answers_without_popauth(bus: NatsBus) -> None:
    with pytest.raises(Unavailable):
        await bus.ask(subjects.AUTH_CHECK, b"{}")


@pytest.mark.parametrize(("threshold", "told"), [(None, 1), ("3", 1), ("0", 0), ("7", 0)])
async def test_many_users_at_one_address_are_told_once(
    real: Office, bus: NatsBus, threshold: str | None, told: int
) -> None:
    """Six users log in from one address, twice each; nobody is kept out for it."""
    if threshold:
        await real.control.set("relayusers", (threshold,))
    some = await set_up(real, bus)
    users = [f"user{n}@example.net" for n in range(6)]
    for user in users:
        await real.accounts.add_account(user, PASSWORD)
    counted = REGISTRY.get_sample_value("tubepost_relay_many_users_total") or 0
    with capture_logs() as lines:
        results = [await some.login(user, PASSWORD, CLIENT) for user in users * 2]
    assert all(isinstance(result, Accepted) for result in results)
    assert REGISTRY.get_sample_value("tubepost_relay_many_users_total") == counted + told
    warnings = [line for line in lines if line["event"] == "relay.many_users"]
    assert len(warnings) == told
    if told:
        count = int(threshold or 5)
        assert warnings[0]["users"] == users[:count]
        assert (warnings[0]["client"], warnings[0]["count"]) == (CLIENT, count)
