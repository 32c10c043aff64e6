"""Domains and accounts: what may be made and removed, and that two operators see each other."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.popauth.accounts import Wish
from services.popauth.aliases import AliasWish
from services.popauth.homes import first_homes, home_of
from services.popauth.passwords import Passwords
from tests.fakes import MemoryBus
from tests.popauth.directory import Books, Office, office
from tubepost import subjects
from tubepost.address import Address, parse_address
from tubepost.directory_values import NO_RELAY, NO_SMTP, Account, account_key, entry_value
from tubepost.errors import BadInput, Conflict, Exists, NotFound, Unavailable
from tubepost.keyed import Bucket

PASSWORD = "correct horse"
ANN = parse_address("ann@example.net")


async def test_domains_come_and_go(real: Office) -> None:
    accounts, directory = real.accounts, real.directory
    assert await accounts.add_domain("Example.NET.") == "example.net"
    await accounts.add_domain("a.example")
    assert directory.domain_names() == ["a.example", "example.net"]
    with pytest.raises(Exists, match="is there already"):
        await accounts.add_domain("EXAMPLE.net")
    await accounts.remove_domain("example.NET")
    assert directory.domain_names() == ["a.example"]
    with pytest.raises(NotFound, match="tubepost domain add"):
        await accounts.remove_domain("example.net")
    assert await accounts.add_domain("example.net") == "example.net"


@pytest.mark.parametrize(
    "text", ["", "localhost", "[192.0.2.1]", "a..b", "a b.example", "é.example"]
)
async def test_no_mail_domain(real: Office, text: str) -> None:
    with pytest.raises(BadInput):
        await real.accounts.add_domain(text)
    assert real.directory.domain_names() == []


async def test_accounts_come_and_go(real: Office) -> None:
    accounts, directory = real.accounts, real.directory
    await accounts.add_domain("example.net")
    assert await accounts.add_account("Ann@Example.net", PASSWORD) == "ann@example.net"
    account = await directory.account(ANN)
    assert account is not None
    assert account.home == home_of(ANN)
    assert account.password.startswith("$argon2id$")
    with pytest.raises(Exists, match="use passwd"):
        await accounts.add_account("ANN@example.net", PASSWORD)
    with pytest.raises(Exists, match="has 1 accounts; remove them first"):
        await accounts.remove_domain("example.net")
    await accounts.remove_account("aNN@example.net")
    assert (await directory.account(ANN)) is None
    with pytest.raises(NotFound):
        await accounts.remove_account("ann@example.net")
    await accounts.add_account("ann@example.net", PASSWORD)  # over the tombstone
    assert (await directory.account(ANN)) is not None


async def test_an_account_needs_its_domain(real: Office) -> None:
    with pytest.raises(NotFound, match="there is no domain"):
        await real.accounts.add_account("ann@example.net", PASSWORD)


async def test_a_changed_password_is_the_only_one(real: Office) -> None:
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account("ann@example.net", PASSWORD)
    before = await real.directory.account(ANN)
    await real.accounts.set_password("Ann@example.net", "staple battery")
    after = await real.directory.account(ANN)
    assert before is not None
    assert after is not None
    assert (after.address, after.home) == (before.address, before.home)
    assert await real.passwords.check(after.password, "staple battery")
    assert not await real.passwords.check(after.password, PASSWORD)
    with pytest.raises(NotFound):
        await real.accounts.set_password("bob@example.net", PASSWORD)


@pytest.mark.parametrize(
    "password", ["", "seven77", "x" * 256, "line\nbreak", "nul\0l word", "\x7f" * 8]
)
async def test_weak_passwords(real: Office, password: str) -> None:
    await real.accounts.add_domain("example.net")
    with pytest.raises(BadInput, match="a password has"):
        await real.accounts.add_account("ann@example.net", password)
    assert (await real.directory.account(ANN)) is None
    await real.accounts.add_account("ann@example.net", PASSWORD)
    with pytest.raises(BadInput, match="a password has"):
        await real.accounts.set_password("ann@example.net", password)


async def test_the_real_hashes_are_argon2id() -> None:
    passwords = Passwords(threads=1)
    try:
        hashed = await passwords.make("x" * 8)
        assert hashed.startswith("$argon2id$v=19$m=65536,")
        assert await passwords.check(hashed, "x" * 8)
        assert not await passwords.check(hashed, "x" * 9)
        assert not await passwords.check(None, "nobody has this password")
        assert not await passwords.check("not a hash", "x" * 8)
    finally:
        passwords.close()


async def test_what_another_has_changed_meanwhile_stays(real: Office) -> None:
    """Both change one account at once, again and again: each change is decided on the newest."""
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account("ann@example.net", PASSWORD)
    async with office(real.bus) as other:
        await asyncio.gather(
            real.accounts.set_flags("ann@example.net", {NO_SMTP: True}),
            other.accounts.set_flags("ann@example.net", {NO_RELAY: True}),
            real.accounts.set_quota("ann@example.net", "10M"),
            other.accounts.set_password("ann@example.net", "staple battery"),
        )
        account = await other.accounts.get("ann@example.net")
    assert account.flags == {NO_SMTP, NO_RELAY}
    assert str(account.quota) == "10485760S"
    assert await real.passwords.check(account.password, "staple battery")


async def test_an_account_knows_since_when_it_has_had_a_quota(real: Office) -> None:
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account("ann@example.net", PASSWORD)
    began = time.time()

    async def since(quota: str) -> float:
        await real.accounts.set_quota("ann@example.net", quota)
        return (await real.accounts.get("ann@example.net")).quota_since

    first = await since("10M")
    assert began - 10 < first <= time.time()
    assert (await since("20M"), await since("NOQUOTA")) == (first, 0.0)
    assert await since("20M") >= first


async def test_of_two_at_once_one_wins(real: Office) -> None:
    results = await asyncio.gather(
        real.accounts.add_domain("example.net"),
        Books(real.bus, real.directory, real.passwords).add_domain("example.net"),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, Exists) for result in results) == [False, True]
    assert real.directory.domain_names() == ["example.net"]


async def test_everybody_sees_what_one_has_done(real: Office) -> None:
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account("ann@example.net", PASSWORD)
    async with office(real.bus) as other:
        assert other.directory.domain_names() == ["example.net"]
        assert (await other.directory.account(ANN)) == (await real.directory.account(ANN))
        await other.accounts.remove_account("ann@example.net")
        with pytest.raises((Conflict, NotFound)):
            await real.accounts.remove_account("ann@example.net")


async def test_without_the_bus_nothing_changes(in_memory: Office, memory_bus: MemoryBus) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await in_memory.accounts.add_domain("example.net")
    assert in_memory.directory.domain_names() == []


async def test_what_comes_back_is_the_address_to_go_on_with(in_memory: Office) -> None:
    await in_memory.accounts.add_domain("example.net")
    added = await in_memory.accounts.add_account('"a b"@example.net', PASSWORD)
    assert await in_memory.accounts.list() == [added]
    await in_memory.accounts.remove_account(added)


def test_where_a_new_account_has_its_mail() -> None:
    """Below 256 folders of domains: 10,000 of them do not lie in one folder."""
    assert home_of(ANN) == "a0/example.net/73/ann"
    assert home_of(parse_address("Ann@Example.NET")) == home_of(ANN)
    assert home_of(parse_address("a.b+c@example.net")) == "a0/example.net/8b/a=2Eb=2Bc"
    assert home_of(ANN, life=17) == "a0/example.net/73/ann.17"


async def test_homes_do_not_move(real: Office) -> None:
    """The home that stands in a record is where the mail lies, whatever new ones are like."""
    await real.accounts.add_domain("example.net")
    old = Account("ann@example.net", first_homes(ANN), await real.passwords.make(PASSWORD))
    assert old.home == "example.net/73/ann"
    await Bucket(real.bus, subjects.DIRECTORY).put(account_key(ANN), entry_value(old))
    await real.accounts.set_password("ann@example.net", "staple battery")
    await real.accounts.set_flags("ann@example.net", {NO_SMTP: True})
    await real.accounts.set_quota("ann@example.net", "10M")
    assert (await real.accounts.get("ann@example.net")).home == "example.net/73/ann"


async def test_a_new_user_does_not_get_the_old_ones_mail(real: Office) -> None:
    await real.accounts.add_domain("example.net")

    async def made_again(*, old_mail: bool) -> str:
        wish = Wish(old_mail=old_mail)
        await real.accounts.add_account("ann@example.net", PASSWORD, wish)
        home = (await real.accounts.get("ann@example.net")).home
        await real.accounts.remove_account("ann@example.net")
        return home

    first = await made_again(old_mail=False)
    second = await made_again(old_mail=False)
    assert (first, second != first) == (home_of(ANN), True)
    assert await made_again(old_mail=True) == second
    await real.desk.aliases.add("ann@example.net", AliasWish(["joe@far.example"]))
    await real.desk.aliases.remove("ann@example.net")
    assert await made_again(old_mail=True) == second
    assert await made_again(old_mail=False) not in (first, second)


LOCALS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)


@given(LOCALS, st.integers(0, 2**63))
def test_a_home_is_a_safe_path(local: str, life: int) -> None:
    hashed, domain, inner, name = home_of(Address(local, "example.net"), life).split("/")
    assert (hashed, domain) == ("a0", "example.net")
    assert len(inner) == 2
    assert 0 < len(name) <= 255
    assert not name.startswith(".")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-=ABCDEF.")


@given(LOCALS, LOCALS)
def test_two_mailboxes_have_two_homes(one: str, other: str) -> None:
    a, b = Address(one, "example.net"), Address(other, "example.net")
    assert (home_of(a) == home_of(b)) == (a.key == b.key)


async def test_flags_come_and_go_and_a_new_password_leaves_them(real: Office) -> None:
    await real.accounts.add_domain("example.net")
    await real.accounts.add_account("ann@example.net", PASSWORD)

    async def flags(wanted: dict[str, bool]) -> set[str]:
        await real.accounts.set_flags("Ann@example.net", wanted)
        account = await real.directory.account(ANN)
        return set(account.flags) if account else set()

    assert await flags({NO_SMTP: True}) == {NO_SMTP}
    assert await flags({NO_RELAY: True}) == {NO_SMTP, NO_RELAY}
    await real.accounts.set_password("ann@example.net", "staple battery")
    assert await flags({NO_SMTP: False}) == {NO_RELAY}
    assert await flags({}) == {NO_RELAY}
    with pytest.raises(NotFound):
        await real.accounts.set_flags("bob@example.net", {NO_SMTP: True})
