"""The scheduler's limits are the only gate, and a host that failed is left alone by all workers."""

from collections.abc import AsyncIterator

import pytest

from services.scheduler.served import Trouble
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import FakeClock
from tests.nats_server import NatsServer
from tests.remote.gate import CountingPeer, Gate, Turning, gate, until
from tests.remote.smtp_peer import listening
from tubepost.nats_bus import NatsBus

DOMAINS = [f"d{n}.example" for n in range(6)]
ZONE = """
one.example. IN MX 10 mx.one.example.
mx.one.example. IN A 127.0.0.1
two.example. IN MX 10 bad.two.example.
two.example. IN MX 20 good.two.example.
bad.two.example. IN A 127.0.0.2
good.two.example. IN A 127.0.0.1
dead.example. IN MX 10 bad.two.example.
mx.big.example. IN A 127.0.0.1
""" + "".join(f"{name}. IN MX 10 mx.big.example.\n" for name in DOMAINS)


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


def troubles(gate: Gate) -> dict[str, Trouble]:
    return {each.name: each for owner in gate.owners for each in owner.shard.troubles()}


async def test_three_workers_never_take_more_at_once_than_the_destination_may_have(
    bus: NatsBus, nats_server: NatsServer, zone: DnsServer
) -> None:
    peer = CountingPeer(together=4)
    async with (
        listening(peer.handler) as port,
        gate(bus, nats_server, zone, port, ["one.example:4"]) as platform,
    ):
        await platform.send("one.example", 40)
        await until(lambda: peer.mails == 40)
        await until(lambda: not platform.attempted)
    assert peer.most == 4


async def test_a_rate_is_kept_however_many_workers_there_are(
    bus: NatsBus, nats_server: NatsServer, zone: DnsServer, clock: FakeClock
) -> None:
    """The clock stands still: a second's worth goes out, and then nothing until it moves."""
    peer = CountingPeer()
    lines = ["one.example:20:4/s"]
    async with (
        listening(peer.handler) as port,
        gate(bus, nats_server, zone, port, lines, clock) as platform,
    ):
        await platform.send("one.example", 12)
        for mails, wait in ((4, 0.5), (6, 1.0), (10, 1.0)):
            await went(platform, peer, mails, left=12 - mails)
            await platform.send("two.example", 1)  # behind the others in the queue
            await went(platform, peer, mails + 1, left=12 - mails)
            peer.mails -= 1
            clock.advance(wait)
            for owner in platform.owners:
                owner.wake()


async def went(platform: Gate, peer: CountingPeer, mails: int, *, left: int) -> None:
    """So many have gone, and the queue has heard of it."""
    await until(lambda: peer.mails == mails and len(platform.attempted) == left)


async def test_domains_with_the_same_hosts_share_their_limit_over_shards_and_workers(
    bus: NatsBus, nats_server: NatsServer, zone: DnsServer
) -> None:
    peer = CountingPeer()
    async with (
        listening(peer.handler) as port,
        gate(bus, nats_server, zone, port, ["mx .big.example:3"]) as platform,
    ):
        for name in DOMAINS:
            await platform.send(name, 1)
        await until(lambda: len(platform.questions.sites._known) == 6)
        await until(lambda: not platform.attempted)
        peer.together, peer.most = 3, 0
        for name in DOMAINS:
            await platform.send(name, 5)
        await until(lambda: peer.mails == 36)
        await until(lambda: not platform.attempted)
    assert peer.most == 3


async def test_a_host_that_turns_us_away_is_left_alone_by_all_while_the_next_takes_the_mail(
    bus: NatsBus, nats_server: NatsServer, zone: DnsServer
) -> None:
    good, bad = CountingPeer(), Turning()
    async with (
        listening(good.handler) as port,
        listening(bad.handler, "127.0.0.2", port),
        gate(bus, nats_server, zone, port, []) as platform,
    ):
        await platform.send("two.example", 4)
        await until(lambda: platform.all_know("127.0.0.2", port))
        await until(lambda: not platform.attempted)
        before = bad.connections
        await platform.send("two.example", 40)
        await until(lambda: not platform.attempted)
    assert good.mails == 44
    assert bad.connections == before <= 4
    assert troubles(platform) == {}


async def test_a_domain_with_dead_hosts_only_waits_for_them_and_costs_no_slots(
    bus: NatsBus, nats_server: NatsServer, zone: DnsServer
) -> None:
    good, bad = CountingPeer(), Turning()
    async with (
        listening(good.handler) as port,
        listening(bad.handler, "127.0.0.2", port),
        gate(bus, nats_server, zone, port, []) as platform,
    ):
        await platform.send("two.example", 2)
        await until(lambda: platform.all_know("127.0.0.2", port))
        before = bad.connections
        await platform.send("dead.example", 30)
        await until(lambda: "dead.example" in troubles(platform))
        await until(lambda: not troubles(platform)["dead.example"].out)
        found = troubles(platform)["dead.example"]
        opens = platform.healths[0].listed()[0]["until"]
        await platform.send("one.example", 30)
        await until(lambda: good.mails == 32)
    assert bad.connections == before
    assert opens <= found.until <= opens + 10
    assert "127.0.0.2: not tried, " in found.error
    assert sum(platform.attempted.values()) <= 5
