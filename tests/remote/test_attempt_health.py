"""Hosts that failed are passed over by the next mails, and only for what is a host's fault."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.mx import DnsResolver
from services.remote.plan import Plan
from services.remote.pool import Pool
from services.remote.terms import Source, Terms
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import FakeClock, MemoryBus
from tests.remote.smtp_peer import TERMS, MemoryPeer, listening, speaking
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.subjects import Key

ZONE = """
backup.example. IN MX 10 one.backup.example.
backup.example. IN MX 20 two.backup.example.
one.backup.example. IN A 127.0.0.2
both.example. IN MX 10 mx.both.example.
mx.both.example. IN A 127.0.0.2
mx.both.example. IN AAAA 2001:db8::25
two.backup.example. IN A 127.0.0.1
"""
REFUSED = "127.0.0.2: connection refused/127.0.0.1: connection refused"


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
def health(memory_bus: MemoryBus, clock: FakeClock) -> SharedHealth:
    return SharedHealth(memory_bus, clock, lambda: 3600.0)


def courier(
    zone: DnsServer, port: int, health: SharedHealth, terms: Terms = TERMS
) -> RemoteCourier:
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0)
    return RemoteCourier(
        plan=lambda _: Plan((), terms), resolver=resolver, pool=Pool(), health=health, port=port
    )


async def deliver(courier: RemoteCourier, domain: str = "backup.example") -> Outcome:
    to = f"a@{domain}"
    mail = Mail(Key(0, "m", "0"), "s@example.org", (to,), domain, b"hi\r\n", 1, 0.0)
    return dict(await courier.deliver(mail))[to]


async def test_a_dead_host_costs_no_connection_and_the_next_one_takes_the_mail(
    zone: DnsServer, health: SharedHealth
) -> None:
    calls = 0

    async def busy(_reader: object, writer: object) -> None:
        nonlocal calls
        calls += 1
        writer.write(b"421 too busy\r\n")  # type: ignore[attr-defined]

    peer = MemoryPeer()
    async with listening(speaking(peer)) as port, listening(busy, "127.0.0.2", port):
        remote = courier(zone, port, health)
        for _ in range(5):
            assert isinstance(await deliver(remote), Delivered)
    assert calls == 2
    assert len(peer.bodies) == 5
    assert [each["ip"] for each in health.listed()] == ["127.0.0.2"]


async def test_where_all_are_passed_over_nothing_is_opened_and_the_text_says_why(
    zone: DnsServer, health: SharedHealth, clock: FakeClock, unused_tcp_port: int
) -> None:
    remote = courier(zone, unused_tcp_port, health)
    first, second, third = [await deliver(remote) for _ in range(3)]
    assert isinstance(first, Deferred)
    assert isinstance(second, Deferred)
    assert isinstance(third, Deferred)
    assert first.not_before == 0.0
    assert REFUSED in first.text
    assert REFUSED in second.text
    assert clock() + 54 <= second.not_before <= clock() + 66
    assert third.no_connection
    assert third.not_before == second.not_before
    assert "/127.0.0.2: not tried, connection refused; again from 2023-11-14 22:1" in third.text
    assert "/127.0.0.1: not tried, connection refused; again from 2023-11-14 22:1" in third.text


async def test_behind_the_back_off_one_tries_and_its_success_opens_the_host(
    zone: DnsServer, health: SharedHealth, clock: FakeClock, unused_tcp_port: int
) -> None:
    remote = courier(zone, unused_tcp_port, health)
    await deliver(remote)
    await deliver(remote)
    clock.advance(70)
    async with listening(speaking(MemoryPeer()), port=unused_tcp_port):
        assert isinstance(await deliver(remote), Delivered)
    assert [each["ip"] for each in health.listed()] == ["127.0.0.2"]


async def test_a_source_address_that_is_not_ours_says_nothing_of_the_host(
    zone: DnsServer, health: SharedHealth, unused_tcp_port: int
) -> None:
    terms = replace(TERMS, source=Source(helo="me.example", ips=("192.0.2.1",)))
    for _ in range(3):
        outcome = await deliver(courier(zone, unused_tcp_port, health, terms))
        assert isinstance(outcome, Deferred)
        assert outcome.unasked
    assert health.listed() == []


async def test_an_address_that_we_cannot_reach_from_here_is_not_waited_for(
    zone: DnsServer, health: SharedHealth, clock: FakeClock, unused_tcp_port: int
) -> None:
    source = Source(helo="me.example", ips=("127.0.0.1", "2001:db8::9"))  # the latter is not ours
    remote = courier(zone, unused_tcp_port, health, replace(TERMS, source=source))
    await deliver(remote, "both.example")
    outcome = await deliver(remote, "both.example")
    assert isinstance(outcome, Deferred)
    assert outcome.no_connection
    assert clock() + 54 <= outcome.not_before <= clock() + 66


async def test_a_silent_name_server_is_no_answer_of_a_host(
    zone: DnsServer, health: SharedHealth, unused_tcp_port: int
) -> None:
    resolver = DnsResolver(["127.0.0.1"], port=unused_tcp_port, seconds=0.2)
    outcome = await deliver(replace(courier(zone, 25, health), resolver=resolver))
    assert isinstance(outcome, Deferred)
    assert outcome.unasked
    assert not outcome.no_connection


@pytest.mark.parametrize("code", [450, 550])
async def test_what_is_said_of_a_mail_says_nothing_of_the_host(
    zone: DnsServer, health: SharedHealth, code: int
) -> None:
    peer = MemoryPeer({"MAIL": b"%d no\r\n" % code, "RCPT": b"503 no\r\n", "DATA": b"503 no\r\n"})
    async with (
        listening(speaking(peer)) as port,
        listening(speaking(MemoryPeer()), "127.0.0.2", port),
    ):
        for _ in range(3):
            await deliver(courier(zone, port, health))
    assert health.listed() == []


@pytest.mark.parametrize(
    "greeting", [b"421 busy\r\n", b"554 not you\r\n", b"nonsense\r\n", b"220 hi\r\n"]
)
async def test_a_greeting_that_is_no_welcome_counts(
    zone: DnsServer, health: SharedHealth, greeting: bytes
) -> None:
    peer = MemoryPeer({"EHLO": b"421 no\r\n", "HELO": b"421 no\r\n"})
    async with listening(speaking(peer, greeting)) as port:
        await deliver(courier(zone, port, health))
    assert {each["ip"]: each["failures"] for each in health.listed()} == {
        "127.0.0.1": 1,
        "127.0.0.2": 1,
    }
