"""A route with a login, from its line in `smtproutes` to what the relay hears: who is told it?"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver
from services.remote.plan import planner
from services.remote.pool import Pool
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.authority import Authority, TlsPeer
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.subjects import Key

ZONE = """
relay.example. IN A 127.0.0.1
one.relay.example. IN A 127.0.0.1
other.example. IN A 127.0.0.2
"""
LOGIN = "|joe|s3cret"
IN_CLEAR = b"250-peer.example\r\n250 AUTH PLAIN\r\n"
OFFERS = b"250-peer.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
"""A relay that would hear the login in the clear as well: that it is not told is our doing."""


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def relay(ca: Authority, *names: str, ehlo: bytes = OFFERS) -> TlsPeer:
    return TlsPeer(ca.server(*names), {"AUTH": b"235 2.7.0 welcome\r\n"}, ehlo)


async def attempt(zone: DnsServer, ca: Authority, port: int, route: str) -> Outcome:
    """A mail by that line; `PORT` in it is the relays'."""
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    control._on_change("smtproutes", {"lines": (route.replace("PORT", str(port)),)})
    courier = RemoteCourier(
        plan=planner(control, ca_file=str(ca.file)),
        resolver=DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0),
        pool=Pool(),
    )
    mail = Mail(
        Key(0, "m1", "0"), "s@example.org", ("a@far.example",), "far.example", b"x\r\n", 1, 0.0
    )
    [outcome] = (await courier.deliver(mail)).values()
    assert "s3cret" not in repr(outcome)
    return outcome


def logins(peer: TlsPeer) -> list[bool]:
    """For each session that heard one whether it was secure."""
    heard = (any(line.startswith("AUTH") for line in each.lines) for each in peer.sessions)
    return [secure for secure, said in zip(peer.secure, heard, strict=True) if said]


@pytest.mark.parametrize(
    ("names", "route"),
    [
        (["relay.example"], ":relay.example:PORT" + LOGIN),
        (["*.relay.example"], ":one.relay.example:PORT" + LOGIN),
        (["smart.host.example"], ":127.0.0.1:PORT name=smart.host.example" + LOGIN),
        (["elsewhere.example"], ":relay.example:PORT tls=encrypt" + LOGIN),
    ],
)
async def test_a_relay_that_has_shown_its_name_is_told(
    zone: DnsServer, ca: Authority, names: Sequence[str], route: str
) -> None:
    peer = relay(ca, *names)
    async with peer.listening() as port:
        outcome = await attempt(zone, ca, port, route)
    assert isinstance(outcome, Delivered)
    assert outcome.tls.startswith("TLSv1.3 ")
    assert (logins(peer), peer.bodies) == ([True], [b"x\r\n"])


WRONG_NAME = "its certificate is for elsewhere.example, not for relay.example. (#4.7.5)"
NO_TLS = "this relay offers no TLS, and the login of smtproutes is not sent in the clear. (#4.7.11)"
SELF_SIGNED = "its certificate is self-signed. (#4.7.5)"
NO_HANDSHAKE = "the connection died in the TLS handshake. (#4.7.5)"


def impostor(ca: Authority, way: str) -> TlsPeer:
    if way == WRONG_NAME:
        return relay(ca, "elsewhere.example")
    if way == NO_TLS:
        return relay(ca, "relay.example", ehlo=IN_CLEAR)
    if way == SELF_SIGNED:
        return TlsPeer(ca.server("relay.example", alone=True), ehlo=OFFERS)
    return TlsPeer("closing", ehlo=OFFERS)


@pytest.mark.parametrize("way", [WRONG_NAME, NO_TLS, SELF_SIGNED, NO_HANDSHAKE])
async def test_nobody_else_is_told_and_the_mail_waits(
    zone: DnsServer, ca: Authority, way: str
) -> None:
    peer = impostor(ca, way)
    async with peer.listening() as port:
        outcome = await attempt(zone, ca, port, ":relay.example:PORT" + LOGIN)
    assert isinstance(outcome, Deferred)
    assert outcome.text == f"Connected to 127.0.0.1 but {way}"
    assert len(peer.sessions) == 1, "not once more in the clear"
    assert (logins(peer), peer.said("MAIL")) == ([], 0)


async def test_the_next_relay_is_told_where_the_first_one_is_another(
    zone: DnsServer, ca: Authority
) -> None:
    wrong, right = relay(ca, "elsewhere.example"), relay(ca, "relay.example")
    async with right.listening() as port, wrong.listening("127.0.0.2", port):
        outcome = await attempt(zone, ca, port, ":other.example:PORT,relay.example:PORT" + LOGIN)
    assert isinstance(outcome, Delivered)
    assert (logins(wrong), logins(right)) == ([], [True])


@pytest.mark.parametrize("level", ["may", "none"])
async def test_in_the_clear_only_where_the_line_says_so(
    zone: DnsServer, ca: Authority, level: str
) -> None:
    peer = relay(ca, "relay.example", ehlo=IN_CLEAR)
    async with peer.listening() as port:
        outcome = await attempt(zone, ca, port, f":relay.example:PORT tls={level}{LOGIN}")
    assert isinstance(outcome, Delivered)
    assert logins(peer) == [False]
