"""What later work hangs on to: one TLS policy a destination, one source object an attempt.

MTA-STS and DANE will answer another policy, pools another source; nobody else chooses either.
"""

from collections.abc import AsyncIterator, Mapping

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.connection import TryNext
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.terms import Terms
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.smtp_peer import MemoryPeer, listening, speaking
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.outcome import Delivered, Outcome
from tubepost.record import Envelope
from tubepost.subjects import Key
from tubepost.tls_policy import Level, TlsPolicy

ZONE = """
two.example. IN MX 10 one.two.example.
two.example. IN MX 20 other.two.example.
one.two.example. IN A 127.0.0.2
other.two.example. IN A 127.0.0.1
"""


class Noting(Pool):
    """A pool that keeps the terms it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[str, Terms]] = []

    async def send(
        self, host: Host, terms: Terms, envelope: Envelope, body: bytes
    ) -> Mapping[str, Outcome] | TryNext:
        self.given.append((host.ip, terms))
        return await super().send(host, terms, envelope, body)


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


async def test_every_host_of_an_attempt_has_the_same_policy_and_source(zone: DnsServer) -> None:
    asked: list[str] = []
    policy = TlsPolicy(Level.MAY)

    def policy_for(destination: str) -> TlsPolicy:
        asked.append(destination)
        return policy

    pool = Noting()
    async with listening(speaking(MemoryPeer())) as port:  # 127.0.0.2 refuses
        courier = RemoteCourier(
            plan=planner(Control(MemoryBus(lambda: 0.0), "me.example"), policy_for=policy_for),
            resolver=DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0),
            pool=pool,
            port=port,
        )
        mail = Mail(
            Key(0, "m", "0"), "s@x.example", ("a@two.example",), "two.example", b"x", 1, 0.0
        )
        [outcome] = (await courier.deliver(mail)).values()
    assert isinstance(outcome, Delivered)
    assert asked == ["two.example"]
    assert [ip for ip, _ in pool.given] == ["127.0.0.2", "127.0.0.1"]
    assert all(terms.tls is policy for _, terms in pool.given)
    assert len({id(terms.source) for _, terms in pool.given}) == 1
