"""Where a mail goes and comes from by setting: a real name server, real peers, settings as set."""

import asyncio
import errno
from collections.abc import AsyncIterator

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.connect_errors import local_fault
from services.remote.health import Unknown
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.settings import Settings
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.smtp_peer import MemoryPeer, listening, speaking
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.nats_bus import NatsBus
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.subjects import Key
from tubepost.tasks import background

ZONE = """
good.example. IN MX 10 mx.good.example.
mx.good.example. IN A 127.0.0.1
both.example. IN A 127.0.0.2
both.example. IN A 127.0.0.1
relay.example. IN A 127.0.0.1
dead.example. IN A 127.0.0.3
ours.example. IN MX 10 mx1.in.example.
mx1.in.example. IN A 192.0.2.1
"""


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
def peer() -> MemoryPeer:
    return MemoryPeer()


@pytest.fixture
async def port(peer: MemoryPeer) -> AsyncIterator[int]:
    """Where `peer` listens: on 127.0.0.1 only, the other addresses refuse."""
    async with listening(speaking(peer)) as port:
        yield port


class Heard(Unknown):
    """A Health that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
        self.told.append(f"{host.ip} failed")

    def answered(self, host: Host) -> None:
        self.told.append(f"{host.ip} answered")


def settings(**lines: str | tuple[str, ...]) -> Control:
    """Of a host `me.example`."""
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    for name, value in lines.items():
        control._on_change(name, {"lines": (value,) if isinstance(value, str) else value})
    return control


def courier(
    zone: DnsServer, control: Control, *, port: int = 1, own_ips: tuple[str, ...] = ()
) -> RemoteCourier:
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0)
    return RemoteCourier(
        plan=planner(control, own_ips), resolver=resolver, pool=Pool(), health=Heard(), port=port
    )


async def attempt(remote: RemoteCourier, destination: str = "good.example") -> Outcome:
    mail = Mail(Key(0, "m1", "0"), "s@x.example", ("a@b",), destination, b"hello\r\n", 1, 0.0)
    return (await remote.deliver(mail))["a@b"]


@pytest.mark.parametrize(
    "relays",
    ["dead.example:{0},relay.example:{0}", "absent.example:{0},127.0.0.1:{0}", "both.example:{0}"],
)
async def test_the_next_relay_where_one_is_out_of_reach(
    zone: DnsServer, peer: MemoryPeer, port: int, relays: str
) -> None:
    remote = courier(zone, settings(smtproutes=":" + relays.format(port)))
    assert isinstance(await attempt(remote), Delivered)
    assert len(peer.bodies) == 1


async def test_relays_are_tried_in_the_order_written(zone: DnsServer) -> None:
    remote = courier(zone, settings(smtproutes=":relay.example:7,absent.example,both.example:26"))
    found = await remote.hosts(remote.plan("good.example"), "good.example")
    assert not isinstance(found, Deferred | Failed)
    assert [host.port for host in found] == [7, 26, 26]
    assert {host.ip for host in found[1:]} == {"127.0.0.1", "127.0.0.2"}
    assert {kind for _, kind in zone.asked} == {"A", "AAAA"}


async def test_relays_that_dns_does_not_know_wait_for_their_repair(zone: DnsServer) -> None:
    outcome = await attempt(courier(zone, settings(smtproutes=":no.example,absent.example")))
    text = "Sorry, I couldn't find an address of no.example, the relay in smtproutes. (#4.3.5)"
    assert outcome == Deferred(text=text, status="4.3.5", unasked=True)


@pytest.mark.parametrize(
    ("relay", "us"),
    [
        ("relay.example", {"localips": "127.0.0.1"}),
        ("127.0.0.1:25", {"localips": "127.0.0.1"}),
        ("mx1.in.example", {"me": "MX1.in.example"}),
    ],
)
async def test_a_relay_that_is_this_system_is_a_slip_in_the_settings(
    zone: DnsServer, relay: str, us: dict[str, str]
) -> None:
    outcome = await attempt(courier(zone, settings(smtproutes=":" + relay, **us), port=25))
    assert isinstance(outcome, Deferred)
    assert "is this system itself" in outcome.text


async def test_another_server_on_an_address_of_ours_may_be_a_relay(
    zone: DnsServer, port: int
) -> None:
    control = settings(smtproutes=f":relay.example,127.0.0.1:{port}", localips="127.0.0.1")
    assert isinstance(await attempt(courier(zone, control, port=25)), Delivered)


@pytest.mark.parametrize(
    ("name", "line"),
    [("mxnames", ".in.example"), ("localips", "192.0.2.1"), ("localiphost", "mx1.in.example")],
)
async def test_mail_for_a_domain_that_leads_to_us_fails(
    zone: DnsServer, name: str, line: str
) -> None:
    outcome = await attempt(courier(zone, settings(**{name: line})), "ours.example")
    assert isinstance(outcome, Failed)
    assert outcome.text == (
        "Sorry. Although I'm listed as a best-preference MX or A for that host, it isn't in my "
        "control/locals file, so I don't treat it as local. (#5.4.6)"
    )


async def test_an_exchanger_on_loopback_is_this_machine(zone: DnsServer) -> None:
    outcome = await attempt(courier(zone, settings(), port=25))
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.4.6"


async def test_routes_act_at_the_next_attempt(
    bus: NatsBus, zone: DnsServer, peer: MemoryPeer, port: int
) -> None:
    control = Control(bus, "me.example")
    async with background(control.run()):
        await control.mirror.loaded.wait()
        remote = courier(zone, control)
        assert isinstance(await attempt(remote), Deferred)
        await control.set("smtproutes", (f":127.0.0.1:{port} helo=out.example",))
        assert isinstance(await attempt(remote), Delivered)
        await control.set("smtproutes", ())
        assert isinstance(await attempt(remote), Deferred)
    assert peer.lines[0] == "EHLO out.example"
    assert len(peer.bodies) == 1


@pytest.mark.parametrize(
    ("lines", "own_ips", "seen"),
    [
        ({"outgoingip": "127.0.0.5"}, (), "127.0.0.5"),
        ({"outgoingip": "127.0.0.5"}, ("127.0.0.6",), "127.0.0.6"),
        ({"smtproutes": "good.example: source=127.0.0.7"}, ("127.0.0.6",), "127.0.0.7"),
        ({"smtproutes": "good.example: source=2001:db8::7"}, ("127.0.0.6",), "127.0.0.6"),
        ({"outgoingip": "2001:db8::5"}, (), "127.0.0.1"),
    ],
)
async def test_the_most_special_source_of_the_family_is_used(
    zone: DnsServer, lines: dict[str, str], own_ips: tuple[str, ...], seen: str
) -> None:
    peer, clients = MemoryPeer(), []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer.get_extra_info("peername")[0])
        await speaking(peer)(reader, writer)

    async with listening(handler) as port:
        remote = courier(zone, settings(**lines), port=port, own_ips=own_ips)
        assert isinstance(await attempt(remote), Delivered)
    assert clients == [seen]


async def test_a_source_this_machine_does_not_have_is_held_against_nobody(
    zone: DnsServer, port: int
) -> None:
    remote = courier(zone, settings(outgoingip="192.0.2.9"), port=port)
    text = (
        "Sorry, I can't make an SMTP connection: the fault is here. (#4.3.5)"
        "/127.0.0.1: this machine has no address 192.0.2.9"
    )
    assert await attempt(remote) == Deferred(text=text, status="4.3.5", unasked=True)
    assert isinstance(remote.health, Heard)
    assert remote.health.told == []


async def test_an_address_without_a_way_there_is_passed_at_once(zone: DnsServer, port: int) -> None:
    """A link-local one without its interface: no machine has a way there."""
    remote = courier(zone, settings(smtproutes=f":[fe80::1]:25,127.0.0.1:{port}"))
    assert isinstance(await attempt(remote), Delivered)


async def test_what_the_other_host_refuses_is_held_against_it(zone: DnsServer) -> None:
    remote = courier(zone, settings(smtproutes=":127.0.0.3:1,[fe80::1]:1"))
    outcome = await attempt(remote)
    assert isinstance(outcome, Deferred)
    assert outcome.no_connection
    assert isinstance(remote.health, Heard)
    assert "127.0.0.3 failed" in remote.health.told


@pytest.mark.parametrize(
    ("number", "ip", "source", "fault"),
    [
        (errno.ENETUNREACH, "fe80::1", "", "no IPv6 route from here"),  # without an interface
        (errno.EHOSTUNREACH, "127.0.0.1", "", ""),  # somebody on the way says so
        (errno.EADDRNOTAVAIL, "127.0.0.1", "192.0.2.9", "this machine has no address 192.0.2.9"),
        (errno.EADDRNOTAVAIL, "127.0.0.1", "127.0.0.1", "no free port here"),
        (errno.EADDRNOTAVAIL, "127.0.0.1", "", "no free port here"),
        (errno.EMFILE, "127.0.0.1", "", "too many open files here"),
        (errno.ECONNREFUSED, "127.0.0.1", "", ""),
        (None, "127.0.0.1", "", ""),
    ],
)
def test_whose_fault_it_is(number: int | None, ip: str, source: str, fault: str) -> None:
    error = OSError("what") if number is None else OSError(number, "what")
    assert local_fault(error, ip, source) == fault


def test_the_sources_of_a_process() -> None:
    assert Settings(source_address="").source_ips == ()
    assert Settings(source_address="192.0.2.1, 2001:DB8::1").source_ips == (
        "192.0.2.1",
        "2001:db8::1",
    )
    for wrong in ("192.0.2.1,192.0.2.2", "here"):
        with pytest.raises(ValueError, match="source_address"):
            Settings(source_address=wrong)
