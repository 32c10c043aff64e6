"""Domains and accounts as the services see them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.fakes import MemoryBus
from tubepost.address import Address, parse_address
from tubepost.directory import FLAGS, Account, Directory, account_key, account_value, domain_key
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket

JOE = parse_address("Joe@example.org")
ACCOUNT = Account("joe@example.org", "example.org/00/joe", "$argon2id$...")


@pytest.fixture
def bucket(memory_bus: MemoryBus) -> Bucket:
    return Bucket(memory_bus, "directory")


@pytest.fixture
async def directory(memory_bus: MemoryBus) -> AsyncIterator[Directory]:
    directory = Directory(memory_bus)
    task = asyncio.create_task(directory.run())
    await directory.mirror.loaded.wait()
    yield directory
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_empty_directory_knows_nobody(directory: Directory) -> None:
    assert directory.domain_names() == []
    assert directory.accounts() == []
    assert await directory.confirmed_account(JOE) is None
    assert not await directory.confirmed_domain("example.org")


async def test_domains_come_and_go(directory: Directory, bucket: Bucket) -> None:
    for domain in ("b.example", "a.example"):
        await bucket.put(domain_key(domain), {})
    await directory.mirror.seen(await bucket.put(domain_key("c.example"), {}))
    assert directory.domain_names() == ["a.example", "b.example", "c.example"]
    await directory.mirror.seen(await bucket.put(domain_key("b.example"), None))
    assert "b.example" not in directory.domains
    assert "a.example" in directory.domains


@pytest.mark.parametrize(
    "address",
    [JOE, parse_address('"a.b c"@example.org'), parse_address("a.b@[192.0.2.1]"),
     Address("x=y+z", "example.org")],
    ids=str,
)  # fmt: skip
async def test_an_account_is_found_however_its_name_is_written(
    directory: Directory, bucket: Bucket, address: Address
) -> None:
    value = account_value(ACCOUNT)
    await directory.mirror.seen(await bucket.put(account_key(address), value))
    found = directory.account(Address(address.local.upper(), address.domain))
    assert found is not None
    assert (found.home, found.password) == (ACCOUNT.home, ACCOUNT.password)
    assert parse_address(found.address).key == address.key
    await directory.mirror.seen(await bucket.put(account_key(address), None))
    assert directory.account(address) is None


async def test_accounts_are_listed_by_name(directory: Directory, bucket: Bucket) -> None:
    for name in ("zoe@a.example", "ann@b.example", "bob@a.example"):
        await bucket.put(account_key(parse_address(name)), account_value(ACCOUNT))
    await directory.mirror.seen(await bucket.put(domain_key("a.example"), {}))
    names = [account.address for account in directory.accounts()]
    assert names == ["ann@b.example", "bob@a.example", "zoe@a.example"]


async def test_a_mirror_that_is_behind_asks_the_leader(
    directory: Directory, bucket: Bucket
) -> None:
    """The entry is stored, and this mirror has not run since."""
    await bucket.put(domain_key("example.org"), {})
    await bucket.put(account_key(JOE), account_value(ACCOUNT))
    confirmed = await directory.confirmed_account(JOE)
    assert confirmed is not None
    assert confirmed.password == ACCOUNT.password
    assert await directory.confirmed_domain("example.org")


async def test_there_is_none_needs_the_leaders_word(
    directory: Directory, memory_bus: MemoryBus
) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await directory.confirmed_account(JOE)
    with pytest.raises(Unavailable):
        await directory.confirmed_domain("example.org")


async def test_flags_are_kept_and_an_account_without_them_is_written_as_ever(
    directory: Directory, bucket: Bucket
) -> None:
    assert account_value(ACCOUNT) == {"home": ACCOUNT.home, "password": ACCOUNT.password}
    flagged = replace(ACCOUNT, flags=FLAGS)
    await directory.mirror.seen(await bucket.put(account_key(JOE), account_value(flagged)))
    assert directory.account(JOE) == flagged


@pytest.mark.parametrize(
    ("sender", "owner"),
    [
        ("joe@example.org", "joe@example.org"),
        ("Joe-Lists-dogs@Example.ORG", "joe@example.org"),
        ("joe-@example.org", "joe@example.org"),
        ("joe-lee@example.org", "joe-lee@example.org"),
        ("joe-lee-x@example.org", "joe-lee@example.org"),
        ("joey@example.org", ""),
        ("-joe@example.org", ""),
        ("joe@example.net", ""),
        ('"joe-x y"@example.org', "joe@example.org"),
        ("x@[192.0.2.1]", ""),
    ],
)
async def test_whose_an_address_is(
    directory: Directory, bucket: Bucket, sender: str, owner: str
) -> None:
    for name in ("joe@example.org", "joe-lee@example.org"):
        revision = await bucket.put(account_key(parse_address(name)), account_value(ACCOUNT))
    await directory.mirror.seen(revision)
    assert directory.owner(parse_address(sender)) == owner
