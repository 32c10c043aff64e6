"""What remote tells the scheduler of a destination's hosts."""

import json

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.host_health import SharedHealth
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.site import SiteAnswers, best
from tests.dns_server import serving_dns
from tests.fakes import FakeClock, MemoryBus
from tubepost import subjects
from tubepost.control import Control
from tubepost.outcome import Deferred, Failed
from tubepost.tasks import background

ZONE = """
good.example. IN MX 10 MX.good.example.
mx.good.example. IN A 127.0.0.1
relay.example. IN A 127.0.0.1
plain.example. IN A 127.0.0.1
"""


@pytest.mark.parametrize(
    ("destination", "hosts"),
    [
        ("good.example", ["mx.good.example"]),
        ("plain.example", ["plain.example"]),
        ("routed.example", ["relay.example"]),
        ("absent.example", []),
        ("failing.example", None),
        ("[127.0.0.1]", ["127.0.0.1"]),
    ],
)
async def test_the_best_hosts_of_a_destination(
    memory_bus: MemoryBus, destination: str, hosts: list[str] | None
) -> None:
    control = Control(memory_bus, "me.example")
    control._on_change("smtproutes", {"lines": ["routed.example:relay.example"]})
    async with serving_dns(ZONE) as zone:
        zone.failing = {("failing.example", "*")}
        resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0)
        courier = RemoteCourier(plan=planner(control), resolver=resolver, pool=Pool(), port=2525)
        await SiteAnswers(courier, health_on(memory_bus)).listen(memory_bus)
        answer = await memory_bus.ask(subjects.SITE, destination.encode())
    assert json.loads(answer) == {"hosts": hosts}


def health_on(bus: MemoryBus) -> SharedHealth:
    return SharedHealth(bus, FakeClock(), lambda: 3600.0)


@pytest.mark.parametrize(
    ("destination", "left"),
    [("good.example", ["192.0.2.9"]), ("absent.example", ["192.0.2.9", "127.0.0.1"]), ("", [])],
)
async def test_an_operator_opens_the_hosts_of_a_destination_or_all(
    memory_bus: MemoryBus, destination: str, left: list[str]
) -> None:
    health, other = health_on(memory_bus), health_on(memory_bus)
    async with serving_dns(ZONE) as zone, background(health.run(), other.run()):
        resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0)
        plan = planner(Control(memory_bus, "me.example"))
        courier = RemoteCourier(plan=plan, resolver=resolver, pool=Pool(), health=health, port=2525)
        await SiteAnswers(courier, health).listen(memory_bus)
        for ip in ("127.0.0.1", "192.0.2.9"):
            health.failed(Host("h", ip, 2525), "timed out")
            health.failed(Host("h", ip, 2525), "timed out")
        await memory_bus.ask(subjects.HOSTS_RESET, destination.encode())
        assert [each["ip"] for each in health.listed()] == left
        stored = await memory_bus.subjects("KV_hosts", ">")
        values = [await memory_bus.read("KV_hosts", subject) for subject in stored]
        assert len([value for value in values if value and value.data]) == len(left)


def test_only_those_that_are_tried_first() -> None:
    found = [
        Host("b.example", "192.0.2.1", preference=10),
        Host("A.example", "192.0.2.2", preference=10),
        Host("a.example", "2001:db8::2", preference=10),
        Host("backup.example", "192.0.2.3", preference=20),
    ]
    assert best(found) == ["a.example", "b.example"]


@pytest.mark.parametrize("found", [Deferred(text="later"), Failed(text="never"), []])
def test_where_there_is_none(found: object) -> None:
    assert best(found) == []  # type: ignore[arg-type]
