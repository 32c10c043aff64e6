"""The relay list: one spelling for an address, whom it may hold, and entries that end."""

from ipaddress import IPv6Network

import pytest

from tests.fakes import FakeClock, MemoryBus
from tubepost.errors import Unavailable
from tubepost.ports import Stored
from tubepost.relay_list import Entry, RelayList, key_for, may_be_listed, normal

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
    entry = await relay_list.add(CLIENT, user="joe@x.y", window=900, by="pop-1")
    assert entry == Entry(CLIENT, "joe@x.y", clock(), clock() + 900, "pop-1")
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
