"""Which TLS policy a destination gets, and what becomes of mail that no host can have with it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.health import Unknown
from services.remote.mx import DnsResolver, Host
from services.remote.plan import Planner, planner
from services.remote.pool import Pool
from services.remote.tls import context
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.authority import Authority, TlsPeer
from tubepost import remote_values
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.errors import BadInput
from tubepost.outcome import Deferred, Delivered, Outcome
from tubepost.smtproutes import Login, Relay, Route
from tubepost.subjects import Key
from tubepost.tls_policy import Level, TlsPolicy

RELAY = (Relay("relay.example", 587),)
LOGIN = Login("joe", "secret")


def a_plan(*table: str, routes: dict[str, Route] | None = None, ca_file: str = "") -> Planner:
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    control._on_change("tlspolicy", {"lines": table})
    control._parsed[remote_values.SMTPROUTES.name] = routes or {}
    return planner(control, ca_file=ca_file)


def test_the_table_rules_where_no_route_does() -> None:
    plan = a_plan("a.example:encrypt", ":none")
    assert plan("a.example").terms.tls == TlsPolicy(Level.ENCRYPT)
    assert plan("b.example").terms.tls == TlsPolicy(Level.NONE)
    assert a_plan()("b.example").terms.tls == TlsPolicy(Level.MAY)


@pytest.mark.parametrize(
    ("setting", "line"),
    [("tlspolicy", "far.example:dane-only"), ("smtproutes", "far.example:relay newer=option")],
)
async def test_no_mail_goes_by_the_default_where_a_line_cannot_be_read(
    setting: str, line: str
) -> None:
    """Stored by a newer release: what it says may be `verify`, and the default is clear text."""
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    control._on_change(setting, {"lines": [line]})
    plan = planner(control)
    courier = RemoteCourier(plan=plan, resolver=DnsResolver(["127.0.0.1"]), pool=Pool())
    found = await courier.hosts(plan("[127.0.0.1]"), "[127.0.0.1]")
    assert isinstance(found, Deferred)
    assert found.status == "4.3.5"
    assert setting in found.text
    control._on_change(setting, None)
    assert not plan("[127.0.0.1]").unreadable


def test_an_mx_host_has_to_be_of_the_mail_domain_because_dns_proves_nothing() -> None:
    plan = a_plan(":verify", "named.example:verify:mx.host.example")
    assert plan("a.example").terms.tls.names == ("a.example", ".a.example")
    assert plan("named.example").terms.tls.names == ("mx.host.example",)
    assert plan("[192.0.2.1]").terms.tls.names == ()


def test_a_relay_goes_by_its_own_name() -> None:
    plan = a_plan(":verify", routes={"": Route(relays=RELAY)})
    assert plan("a.example").terms.tls == TlsPolicy(Level.VERIFY)


def test_a_route_with_tls_of_its_own_comes_before_the_table() -> None:
    may = TlsPolicy(Level.MAY)
    verify = TlsPolicy(Level.VERIFY)
    routes = {"a.example": Route(relays=RELAY, tls=may), "b.example": Route(tls=verify)}
    plan = a_plan(":encrypt", routes=routes)
    assert plan("a.example").terms.tls == may
    assert plan("b.example").terms.tls.names == ("b.example", ".b.example")
    assert plan("c.example").terms.tls.level is Level.ENCRYPT


@pytest.mark.parametrize("line", [":none", ":may", ":encrypt", ":verify"])
def test_no_table_makes_a_login_less_than_verified(line: str) -> None:
    plan = a_plan(line, routes={"": Route(relays=RELAY, login=LOGIN)})
    assert plan("a.example").terms.tls == TlsPolicy(Level.VERIFY)


def test_only_its_own_route_lets_a_login_go_in_the_clear() -> None:
    none = TlsPolicy(Level.NONE)
    plan = a_plan(routes={"": Route(relays=RELAY, login=LOGIN, tls=none)})
    assert plan("a.example").terms.tls == none


def test_a_policy_may_come_from_elsewhere() -> None:
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    plan = planner(control, policy_for=lambda domain: TlsPolicy(Level.VERIFY, (f"mx.{domain}",)))
    assert plan("a.example").terms.tls.names == ("mx.a.example",)


def test_a_file_of_authorities_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    for file in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").touch()
        with pytest.raises(BadInput, match=r"TUBEPOST_CA_FILE: /.*pem: "):
            context(Level.VERIFY, str(file))


# Whole attempts

ZONE = """
good.example. IN MX 10 one.good.example.
good.example. IN MX 20 two.good.example.
one.good.example. IN A 127.0.0.2
two.good.example. IN A 127.0.0.1
hosted.example. IN MX 10 mx.host.example.
mx.host.example. IN A 127.0.0.1
"""


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@dataclass
class Noted(Unknown):
    """A Health that writes down what it is told."""

    failures: list[str] = field(default_factory=list)

    def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
        self.failures.append(host.ip)


async def attempt(
    zone: DnsServer, plan: Planner, peers: Sequence[TlsPeer], health: Noted
) -> Outcome:
    """A mail to good.example whose hosts are 127.0.0.2 and 127.0.0.1, on one port."""
    first, second = peers
    async with second.listening() as port, first.listening("127.0.0.2", port):
        return await one_mail(zone, plan, port, "good.example", health)


async def one_mail(
    zone: DnsServer, plan: Planner, port: int, domain: str, health: Noted
) -> Outcome:
    mail = Mail(Key(0, "m1", "0"), "s@example.org", (f"a@{domain}",), domain, b"x\r\n", 1, 0.0)
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0)
    courier = RemoteCourier(plan=plan, resolver=resolver, pool=Pool(), health=health, port=port)
    [outcome] = (await courier.deliver(mail)).values()
    return outcome


async def test_the_next_host_has_what_the_first_one_lacks(zone: DnsServer, tmp_path: Path) -> None:
    ca, health = Authority(tmp_path), Noted()
    plan = a_plan("good.example:verify", ca_file=str(ca.file))
    good = TlsPeer(ca.server("two.good.example"))
    bad = TlsPeer(ca.server("one.bad.example"))
    outcome = await attempt(zone, plan, (bad, good), health)
    assert isinstance(outcome, Delivered)
    assert outcome.tls.startswith("TLSv1.3 ")
    assert (len(bad.sessions), bad.bodies, good.bodies) == (1, [], [b"x\r\n"])
    assert health.failures == []


async def test_a_mail_that_no_host_can_have_with_its_policy_waits(
    zone: DnsServer, tmp_path: Path
) -> None:
    ca, health = Authority(tmp_path), Noted()
    plan = a_plan("good.example:verify", ca_file=str(ca.file))
    plain = TlsPeer("closing", ehlo=b"250 peer.example\r\n")
    alone = TlsPeer(ca.server("two.good.example", alone=True))
    outcome = await attempt(zone, plan, (plain, alone), health)
    assert isinstance(outcome, Deferred)
    assert outcome.status == "4.7.5"
    assert outcome.text == "Connected to 127.0.0.1 but its certificate is self-signed. (#4.7.5)"
    outcome = await attempt(zone, plan, (alone, plain), health)
    assert isinstance(outcome, Deferred)
    assert outcome.status == "4.7.4"
    assert "it offers no TLS" in outcome.text
    assert health.failures == []


async def test_the_name_that_dns_told_proves_nothing(zone: DnsServer, tmp_path: Path) -> None:
    """Who forges the MX record has a certificate for his own host."""
    ca, health = Authority(tmp_path), Noted()
    peer = TlsPeer(ca.server("mx.host.example"))
    by_table = a_plan("hosted.example:verify", ca_file=str(ca.file))
    named = a_plan("hosted.example:verify:.host.example", ca_file=str(ca.file))
    async with peer.listening() as port:
        refused = await one_mail(zone, by_table, port, "hosted.example", health)
        taken = await one_mail(zone, named, port, "hosted.example", health)
    assert isinstance(refused, Deferred)
    assert refused.text == (
        "Connected to 127.0.0.1 but its certificate is for mx.host.example, not for "
        "hosted.example or a host below hosted.example. (#4.7.5)"
    )
    assert isinstance(taken, Delivered)
    assert peer.bodies == [b"x\r\n"]
