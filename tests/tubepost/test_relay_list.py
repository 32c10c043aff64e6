"""The relay list: one spelling for an address, whom it may hold, and entries that end."""

import asyncio
import json
from ipaddress import IPv6Network

import pytest

from tests.fakes import FakeClock, MemoryBus
from tubepost.errors import Unavailable
from tubepost.nats_bus import NatsBus
from tubepost.ports import Stored
from tubepost.relay_list import Entry, RelayList, is_ours, key_for, may_be_listed, normal

CLIENT = "198.51.100.7"
V6 = "2001:db8::7"


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.7", "v4.192.0.2.7"),
        ("::ffff:192.0.2.7", "v4.192.0.2.7"),
        ("::FFFF:C000:0207", "v4.192.0.2.7"),
        ("2001:db8::7", "v6.20010db8000000000000000000000007"),
        ("2001:DB8:0:0:0:0:0:7", "v6.20010db8000000000000000000000007"),
        ("::1", "v6." + "0" * 31 + "1"),
    ],
)
def test_an_address_has_one_key(ip: str, key: str) -> None:
    assert key_for(ip) == key
    assert key_for(normal(ip)) == key


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.7.", "host", "192.0.2.7:25", "v4.x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        key_for(text)


@pytest.mark.parametrize(
    ("ip", "listed"),
    [
        ("8.8.8.8", True),
        ("::ffff:8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("172.16.0.1", False),
        ("172.31.255.255", False),
        ("172.32.0.1", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("100.127.255.255", False),
        ("169.254.1.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("2001:db8::1", False),
        ("::", False),
    ],
)
def test_who_may_be_listed(ip: str, listed: bool) -> None:
    assert may_be_listed(ip, allowed=()) is listed


def test_what_is_allowed_by_name_may_be_listed() -> None:
    allowed = (IPv6Network("::ffff:10.1.0.0/112"), IPv6Network("fd00::/8"))
    asked = ["10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "10.2.0.1", "127.0.0.1"]
    assert [may_be_listed(ip, allowed=allowed) for ip in asked] == [True, True, True, False, False]


def test_our_own_public_addresses_are_not_listed_unless_named() -> None:
    ours = (IPv6Network("2001:470::/32"), IPv6Network("::ffff:8.8.8.0/120"))
    asked = ["8.8.8.8", "8.8.4.4", "2001:470::1"]
    assert [may_be_listed(ip, allowed=(), ours=ours) for ip in asked] == [False, True, False]
    assert all(may_be_listed(ip, allowed=ours, ours=ours) for ip in asked)


@pytest.fixture
def relay_list(memory_bus: MemoryBus, clock: FakeClock) -> RelayList:
    return RelayList(memory_bus, clock)


async def test_who_has_logged_in_is_listed(relay_list: RelayList, clock: FakeClock) -> None:
    entry, _ = await relay_list.add(CLIENT, user="joe@x.y", window=900, by="pop-1")
    users = {"joe@x.y": clock()}
    assert entry == Entry(CLIENT, "joe@x.y", clock(), clock() + 900, "pop-1", users)
    assert await relay_list.lookup(CLIENT) == entry
    assert await relay_list.lookup(f"::ffff:{CLIENT}") == entry
    assert await relay_list.lookup("198.51.100.8") is None


async def test_an_entry_ends_by_itself(relay_list: RelayList, clock: FakeClock) -> None:
    await relay_list.add(CLIENT, user="joe", window=900, by="pop-1")
    clock.advance(899)
    assert await relay_list.lookup(CLIENT) is not None
    clock.advance(1)
    assert await relay_list.lookup(CLIENT) is None
    assert await relay_list.entries() == []


async def test_a_later_login_starts_it_over(relay_list: RelayList, clock: FakeClock) -> None:
    await relay_list.add(CLIENT, user="joe", window=900, by="pop-1")
    clock.advance(600)
    await relay_list.add(f"::ffff:{CLIENT}", user="ann", window=900, by="pop-2")
    clock.advance(600)
    found = await relay_list.lookup(CLIENT)
    assert found is not None
    assert (found.user, found.by) == ("ann", "pop-2")
    assert len(await relay_list.entries()) == 1


async def test_the_list_has_the_newest_login_last(relay_list: RelayList, clock: FakeClock) -> None:
    for ip in (V6, CLIENT, "198.51.100.9"):
        await relay_list.add(ip, user=f"at {ip}", window=900, by="pop-1")
        clock.advance(10)
    await relay_list.add(V6, user="again", window=900, by="pop-1")
    assert [e.ip for e in await relay_list.entries()] == [CLIENT, "198.51.100.9", V6]


async def test_while_the_bus_is_away_nobody_is_said_to_be_listed_or_not(
    relay_list: RelayList, memory_bus: MemoryBus
) -> None:
    memory_bus.away = True
    with pytest.raises(Unavailable):
        await relay_list.lookup(CLIENT)


class LaggingBus(MemoryBus):
    """Its followers are behind: only the leader has what was written last."""

    behind: Stored | None = None

    async def read(self, stream: str, subject: str, *, leader: bool = False) -> Stored | None:
        return await super().read(stream, subject) if leader else self.behind


async def test_a_login_the_followers_do_not_have_yet_counts(clock: FakeClock) -> None:
    relay_list = RelayList(LaggingBus(clock), clock)
    await relay_list.add(CLIENT, user="joe", window=900, by="pop-1")
    assert await relay_list.lookup(CLIENT) is not None


async def test_a_second_login_the_followers_do_not_have_yet_counts(clock: FakeClock) -> None:
    bus = LaggingBus(clock)
    relay_list = RelayList(bus, clock)
    await relay_list.add(CLIENT, user="joe", window=900, by="pop-1")
    bus.behind = await bus.read("KV_relay", f"$KV.relay.{key_for(CLIENT)}", leader=True)
    clock.advance(901)
    await relay_list.add(CLIENT, user="joe", window=900, by="pop-1")
    assert await relay_list.lookup(CLIENT) is not None


async def login(relay_list: RelayList, user: str, many: int = 3) -> bool:
    """Whether this login is worth a warning."""
    return (await relay_list.add(CLIENT, user=user, window=900, by="pop-1", many=many))[1]


async def test_many_users_at_one_address_are_told_once_in_a_window(
    relay_list: RelayList, clock: FakeClock
) -> None:
    told = []
    for user in ("ann", "bob", "ann", "joe", "eve", "joe"):
        told.append(await login(relay_list, user))
        clock.advance(1)
    assert told == [False, False, False, True, False, False]
    clock.advance(898)
    assert [await login(relay_list, user) for user in ("eve", "joe", "ann")] == [False, False, True]


async def test_who_logged_in_before_the_window_is_not_counted(
    relay_list: RelayList, clock: FakeClock
) -> None:
    for user in ("ann", "bob", "joe", "eve"):
        assert not await login(relay_list, user)
        clock.advance(450)
    found = await relay_list.lookup(CLIENT)
    assert found is not None
    assert list(found.users) == ["joe", "eve"]


async def test_none_is_never_many(relay_list: RelayList) -> None:
    assert not any([await login(relay_list, f"user{n}", many=0) for n in range(30)])


async def test_an_entry_remembers_the_newest_users_and_no_more(
    relay_list: RelayList, clock: FakeClock
) -> None:
    for n in range(50):
        await login(relay_list, f"user{n}")
        clock.advance(1)
    found = await relay_list.lookup(CLIENT)
    assert found is not None
    assert list(found.users) == [f"user{n}" for n in range(30, 50)]


async def test_an_entry_of_the_first_release_is_read(
    relay_list: RelayList, memory_bus: MemoryBus, clock: FakeClock
) -> None:
    value = {"user": "joe", "at": clock(), "until": clock() + 9, "by": "pop-1"}
    await memory_bus.append(f"$KV.relay.{key_for(CLIENT)}", json.dumps(value).encode())
    assert await relay_list.lookup(CLIENT) == Entry(
        CLIENT, "joe", clock(), clock() + 9, "pop-1", {"joe": clock()}
    )


async def test_what_was_removed_can_be_listed_again(
    relay_list: RelayList, memory_bus: MemoryBus
) -> None:
    await login(relay_list, "joe")
    await memory_bus.append(f"$KV.relay.{key_for(CLIENT)}", b"")
    assert await relay_list.lookup(CLIENT) is None
    await login(relay_list, "joe")
    assert await relay_list.lookup(CLIENT) is not None


async def test_logins_at_the_same_moment_are_all_remembered(bus: NatsBus, clock: FakeClock) -> None:
    """Over a real bus: each writer reads before the others have written."""
    instances = [RelayList(bus, clock) for _ in range(8)]
    told = await asyncio.gather(
        *(login(relay_list, f"user{n}", many=8) for n, relay_list in enumerate(instances))
    )
    found = await instances[0].lookup(CLIENT)
    assert found is not None
    assert sorted(found.users) == [f"user{n}" for n in range(8)]
    assert sorted(told) == [False] * 7 + [True]


async def test_a_stale_reader_writes_over_nobody(clock: FakeClock) -> None:
    """The follower that is read first has nothing yet; the leader then has the other login."""
    bus = LaggingBus(clock)
    await login(RelayList(bus, clock), "ann")
    await login(RelayList(bus, clock), "bob")
    found = await RelayList(bus, clock).lookup(CLIENT)
    assert found is not None
    assert set(found.users) == {"ann", "bob"}


def test_our_networks_do_not_use_the_list_unless_named() -> None:
    ours = (IPv6Network("::ffff:8.8.8.0/120"),)
    assert is_ours("8.8.8.8", allowed=(), ours=ours)
    assert not is_ours("8.8.8.8", allowed=ours, ours=ours)
    assert not is_ours("8.8.4.4", allowed=(), ours=ours)
