"""What remote tells the scheduler of a destination's hosts."""

import json

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.site import SiteAnswers, best
from tests.dns_server import serving_dns
from tests.fakes import MemoryBus
from tubepost import subjects
from tubepost.control import Control
from tubepost.outcome import Deferred, Failed

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
        courier = RemoteCourier(plan=planner(control), resolver=resolver, pool=Pool())
        await memory_bus.answer(subjects.SITE, SiteAnswers(courier).answer, group="remote")
        answer = await memory_bus.ask(subjects.SITE, destination.encode())
    assert json.loads(answer) == {"hosts": hosts}


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
