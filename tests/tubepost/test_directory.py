"""Domains and accounts as the services see them."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.fakes import MemoryBus
from tubepost import subjects
from tubepost.address import Address, parse_address
from tubepost.directory import Directory
from tubepost.directory_values import (
    FLAGS,
    Account,
    Alias,
    Domain,
    account_key,
    domain_key,
    entry_value,
)
from tubepost.domains import Domains
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket, encoded
from tubepost.nats_bus import NatsBus
from tubepost.ports import Write
from tubepost.tasks import background

JOE = parse_address("Joe@example.org")
ACCOUNT = Account("joe@example.org", "example.org/00/joe", "$argon2id$...")


@pytest.fixture
def bucket(memory_bus: MemoryBus) -> Bucket:
    return Bucket(memory_bus, "directory")


@pytest.fixture
async def directory(memory_bus: MemoryBus) -> AsyncIterator[Directory]:
    directory = Directory(memory_bus)
    task = asyncio.create_task(directory.run())
    await directory.loaded()
    yield directory
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_empty_directory_knows_nobody(directory: Directory) -> None:
    assert directory.domain_names() == []
    assert await directory.account(JOE) is None
    assert not await directory.confirmed_domain("example.org")


async def test_domains_come_and_go(directory: Directory, bucket: Bucket) -> None:
    for domain in ("b.example", "a.example"):
        await bucket.put(domain_key(domain), {})
    await directory.seen(domain_key("c.example"), await bucket.put(domain_key("c.example"), {}))
    assert directory.domain_names() == ["a.example", "b.example", "c.example"]
    await directory.seen(domain_key("b.example"), await bucket.put(domain_key("b.example"), None))
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
    value = entry_value(ACCOUNT)
    await directory.seen(account_key(address), await bucket.put(account_key(address), value))
    found = await directory.account(Address(address.local.upper(), address.domain))
    assert found is not None
    assert (found.home, found.password) == (ACCOUNT.home, ACCOUNT.password)
    assert parse_address(found.address).key == address.key
    await directory.seen(account_key(address), await bucket.put(account_key(address), None))
    assert (await directory.account(address)) is None


async def test_a_mirror_that_is_behind_asks_the_leader(
    directory: Directory, bucket: Bucket
) -> None:
    """The entry is stored, and this mirror has not run since."""
    await bucket.put(domain_key("example.org"), {})
    await bucket.put(account_key(JOE), entry_value(ACCOUNT))
    confirmed = await directory.account(JOE)
    assert confirmed is not None
    assert confirmed.password == ACCOUNT.password
    assert await directory.confirmed_domain("example.org")


async def test_there_is_none_needs_the_leaders_word(
    directory: Directory, memory_bus: MemoryBus
) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await directory.account(JOE)
    with pytest.raises(Unavailable):
        await directory.confirmed_domain("example.org")


async def test_flags_are_kept_and_an_account_without_them_is_written_as_ever(
    directory: Directory, bucket: Bucket
) -> None:
    assert entry_value(ACCOUNT) == {"home": ACCOUNT.home, "password": ACCOUNT.password}
    flagged = replace(ACCOUNT, flags=FLAGS)
    await directory.seen(account_key(JOE), await bucket.put(account_key(JOE), entry_value(flagged)))
    assert (await directory.account(JOE)) == flagged


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
        key = account_key(parse_address(name))
        revision = await bucket.put(key, entry_value(ACCOUNT))
    await directory.seen(key, revision)
    assert (await directory.owner(parse_address(sender), ("-",))) == owner


@pytest.mark.parametrize(
    ("sender", "separators", "owner"),
    [
        ("joe@alias.example", ("-",), "joe@example.org"),
        ("joe-x@alias.example", ("-",), "joe@example.org"),
        ("joe+x@example.org", ("-",), ""),
        ("joe+x@example.org", ("-", "+"), "joe@example.org"),
        ("Joe+x-y@Alias.example", ("+",), "joe@example.org"),
        ("joe-x@example.org", ("+",), ""),
        ("joe-x@example.org", ("none",), ""),
        ("joe@example.org", ("none",), "joe@example.org"),
        ("joe-team@example.org", ("-",), ""),
        ("joe-team-x@example.org", ("-",), ""),
    ],
)
async def test_an_address_is_whose_mail_it_gets(
    directory: Directory, bucket: Bucket, sender: str, separators: tuple[str, ...], owner: str
) -> None:
    """joe-team is an alias, so nothing of it is joe's."""
    team = Alias("joe-team@example.org", ("ann@far.example",))
    await bucket.put(domain_key("example.org"), {})
    await bucket.put(account_key(JOE), entry_value(ACCOUNT))
    await bucket.put(account_key(parse_address(team.address)), entry_value(team))
    key = domain_key("alias.example")
    await directory.seen(key, await bucket.put(key, {"alias_of": "example.org"}))
    assert (await directory.owner(parse_address(sender), separators)) == owner


async def test_what_one_change_of_several_keys_wrote_is_seen_as_a_whole(
    directory: Directory, memory_bus: MemoryBus
) -> None:
    keys = [domain_key("example.org"), account_key(JOE), domain_key("b.example")]
    values = [{}, entry_value(ACCOUNT), {"alias_of": "example.org"}]
    writes = [
        Write(subjects.bucket_key(subjects.DIRECTORY, key), encoded(value), expect=0)
        for key, value in zip(keys, values, strict=True)
    ]
    await directory.all_seen(keys, await memory_bus.append_all(writes))
    assert directory.domain_names() == ["b.example", "example.org"]
    assert await directory.account(Address("joe", "b.example")) == ACCOUNT


UNREADABLE = [
    b"null",
    b"[]",
    b"{",
    b"{}",
    b'{"kind": "of a newer release"}',
    b'{"home": "x", "password": "y", "quota": "much"}',
    b'{"kind": "alias", "to": 7}',
]


@pytest.mark.parametrize("data", UNREADABLE)
@pytest.mark.parametrize("when", ["read", "heard"])
async def test_what_cannot_be_read_is_unavailable_and_never_nothing(
    directory: Directory, bucket: Bucket, memory_bus: MemoryBus, data: bytes, when: str
) -> None:
    await bucket.put(domain_key("example.org"), {})
    if when == "heard":
        assert await directory.entry(JOE) is None
    subject = subjects.bucket_key(subjects.DIRECTORY, account_key(JOE))
    await directory.seen(account_key(JOE), await memory_bus.append(subject, data))
    of_owner = functools.partial(directory.owner, separators=("-",))
    for ask in (directory.entry, directory.account, of_owner):
        with pytest.raises(Unavailable):
            await ask(JOE)
    assert await directory.account(Address("ann", "example.org")) is None  # others are as ever
    mended = await bucket.put(account_key(JOE), entry_value(ACCOUNT))
    await directory.seen(account_key(JOE), mended)
    assert await directory.account(JOE) == ACCOUNT


@pytest.mark.parametrize("data", [b"null", b"{", b'{"quota": "much"}', b'{"limits": []}'])
@pytest.mark.parametrize("was_there", [True, False])
async def test_a_domain_that_cannot_be_read_is_local_and_its_mail_waits(
    directory: Directory, bucket: Bucket, memory_bus: MemoryBus, data: bytes, was_there: bool
) -> None:
    key = domain_key("example.org")
    if was_there:
        await bucket.put(key, {})
    subject = subjects.bucket_key(subjects.DIRECTORY, key)
    await directory.seen(key, await memory_bus.append(subject, data))
    assert "example.org" in directory.domains
    assert await directory.confirmed_domain("example.org")
    with pytest.raises(Unavailable, match=r"example.org cannot be read"):
        directory.domain("example.org")
    with pytest.raises(Unavailable):
        await directory.account(JOE)
    await directory.seen(key, await bucket.put(key, {}))
    assert directory.domain("example.org") == Domain("example.org")
    assert await directory.account(JOE) is None


async def test_domains_alone_follow_no_addresses(bus: NatsBus) -> None:
    """scheduler's: a million addresses are nothing to it, and none of their changes either."""
    domains = Domains(bus)
    async with background(domains.run()):
        await domains.loaded()
        js = bus.client.jetstream()
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        followed = [info.config.filter_subject for info in await js.consumers_info(stream)]
    assert followed == [subjects.bucket_key(subjects.DIRECTORY, "domain.>")]
