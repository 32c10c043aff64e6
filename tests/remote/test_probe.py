"""A probe against real peers and a real name server: what it finds, and what it never does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.remote.attempt import RemoteCourier
from services.remote.mx import DnsResolver, Host
from services.remote.plan import planner
from services.remote.pool import Pool
from services.remote.probe import OUT_OF_TIME, Probe
from services.remote.probe_steps import Step
from tests.dns_server import DnsServer, serving_dns
from tests.fakes import MemoryBus
from tests.remote.authority import Authority, TlsPeer
from tests.remote.smtp_peer import GREETING, MemoryPeer, listening, speaking
from tubepost import remote_values
from tubepost.control import Control
from tubepost.dns_client import DnsClient
from tubepost.domain_table import name_for
from tubepost.errors import Unavailable

ZONE = """
good.example. IN MX 10 mx.good.example.
mx.good.example. IN A 127.0.0.1
backup.example. IN MX 10 one.backup.example.
backup.example. IN MX 20 two.backup.example.
one.backup.example. IN A 127.0.0.2
two.backup.example. IN A 127.0.0.1
bare.example. IN A 127.0.0.1
null.example. IN MX 0 .
half.example. IN MX 10 gone.half.example.
half.example. IN MX 20 mx.good.example.
relay.example. IN A 127.0.0.1
"""


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


def probe(
    zone: DnsServer, port: int, *routes: str, seconds: float = 20.0, ca_file: str = ""
) -> Probe:
    control = Control(MemoryBus(lambda: 0.0), "me.example")
    if routes:
        control._on_change("smtproutes", {"lines": routes})
    courier = RemoteCourier(
        plan=planner(control, ca_file=ca_file),
        resolver=DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0),
        pool=Pool(),
        port=port,
    )

    def route(domain: str) -> str | None:
        routes = control.get(remote_values.SMTPROUTES)
        return name_for(routes, domain)

    return Probe(
        courier=courier,
        dns=lambda: DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0),
        route_of=route,
        seconds=seconds,
    )


async def found(
    probe: Probe, destination: str, recipient: str = "", *, connect: bool = True
) -> dict[str, list[Step]]:
    """The steps by their names."""
    steps: dict[str, list[Step]] = {}
    async for step in probe.steps(destination, recipient, connect=connect):
        steps.setdefault(step["step"], []).append(step)
    assert list(steps)[:3] == ["plan", "dns", "hosts"]
    assert list(steps)[-1] == "end"
    assert probe.running == 0
    return steps


async def test_a_host_that_takes_mail(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:
        steps = await found(probe(zone, port), "good.example")
    [plan], [dns], [hosts], [host] = (steps[name] for name in ("plan", "dns", "hosts", "host"))
    assert (plan["route"], plan["helo"], plan["tls"]["level"]) == (None, "me.example", "may")
    assert [(a["name"], a["kind"], a["records"]) for a in dns["answers"]] == [
        ("good.example", "MX", ("10 mx.good.example.",)),
        ("mx.good.example", "A", ("127.0.0.1",)),
        ("mx.good.example", "AAAA", ()),
    ]
    assert (hosts["hosts"][0]["ip"], hosts["left_out"], hosts["outcome"]) == ("127.0.0.1", 0, None)
    assert (host["name"], host["greeted"], host["error"]) == ("mx.good.example", True, "")
    assert host["banner"] == GREETING.decode().strip()
    assert host["extensions"] == {"PIPELINING": "", "SIZE": "1000000", "8BITMIME": ""}
    assert host["seconds"] >= host["opened"]["connected"] > 0
    assert set(peer.lines) <= {"EHLO me.example", "QUIT"}


async def test_a_recipient_is_asked_about_and_nothing_is_sent(zone: DnsServer) -> None:
    peer = MemoryPeer({"RCPT": b"550 5.1.1 no such user\r\n"})
    async with listening(speaking(peer)) as port:
        steps = await found(probe(zone, port), "good.example", "ann@good.example")
    [host] = steps["host"]
    assert (host["rcpt"]["outcome"], host["rcpt"]["status"]) == ("failure", "5.1.1")
    assert host["rcpt"]["reply"] == "550 5.1.1 no such user"
    assert [line.split()[0] for line in peer.lines][:4] == ["EHLO", "MAIL", "RCPT", "RSET"]
    assert peer.bodies == []
    assert peer.lines[1].startswith("MAIL FROM:<>")


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ("good.example", ""),
        (
            "half.example",
            (
                "Connected to 127.0.0.1 but its certificate is for mx.good.example, not for "
                "half.example or a host below half.example. (#4.7.5)"
            ),
        ),
    ],
)
async def test_what_verify_would_say_is_what_a_delivery_would_be_told(
    zone: DnsServer, tmp_path: Path, destination: str, why: str
) -> None:
    """By the mail domain, not by the name of the MX host, which only DNS has told."""
    ca = Authority(tmp_path)
    async with TlsPeer(ca.server("mx.good.example")).listening() as port:
        steps = await found(probe(zone, port, ca_file=str(ca.file)), destination)
    [host] = steps["host"]
    assert host["opened"]["tls"] == "TLSv1.3"
    assert host["opened"]["certificate"]["names"] == ("mx.good.example",)
    assert (host["opened"]["verified"], host["opened"]["distrust"]) == (False, why)


async def test_every_host_is_tried_at_once(zone: DnsServer) -> None:
    """The first waits until the second has been spoken to: one after another would never end."""
    second_came = asyncio.Event()

    async def first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await second_came.wait()
        writer.write(b"554 not you\r\n")
        await reader.read()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        second_came.set()
        await speaking(MemoryPeer())(reader, writer)

    async with listening(second) as port, listening(first, "127.0.0.2", port):
        steps = await found(probe(zone, port), "backup.example")
    by_name = {host["name"]: host for host in steps["host"]}
    one, two = by_name["one.backup.example"], by_name["two.backup.example"]
    assert (two["greeted"], two["preference"] >= one["preference"]) == (True, True)
    assert (one["greeted"], one["connected"], one["reply"]) == (False, True, "554 not you")


async def test_a_host_that_refuses_the_connection(zone: DnsServer) -> None:
    async with listening(speaking(MemoryPeer())) as port:
        pass
    [host] = (await found(probe(zone, port), "good.example"))["host"]
    assert (host["connected"], host["timed_out"]) == (False, False)
    assert host["error"] == "127.0.0.1: connection refused"


async def test_a_silent_host_is_told_when_the_time_is_over(zone: DnsServer) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        steps = await found(probe(zone, port, seconds=0.5), "good.example")
    [host], [end] = steps["host"], steps["end"]
    assert (host["error"], host["timed_out"]) == (f"127.0.0.1: {OUT_OF_TIME}", True)
    assert end["limit"] == 0.5


async def test_name_servers_that_are_silent_are_told_when_the_time_is_over(
    zone: DnsServer,
) -> None:
    zone.mute = True
    steps = await found(probe(zone, 25, seconds=0.2), "good.example")
    assert steps["dns"][0]["answers"] is None
    assert steps["hosts"][0]["outcome"]["status"] == "4.4.3"
    assert "host" not in steps


@pytest.mark.parametrize(
    ("domain", "outcome", "status"),
    [("null.example", "failure", "5.1.10"), ("nowhere.example", "failure", "5.1.2")],
)
async def test_a_destination_without_hosts_has_the_outcome_of_a_delivery(
    zone: DnsServer, domain: str, outcome: str, status: str
) -> None:
    steps = await found(probe(zone, 25), domain)
    assert steps["hosts"][0]["outcome"]["outcome"] == outcome
    assert steps["hosts"][0]["outcome"]["status"] == status
    assert "host" not in steps


async def test_each_answer_of_dns_is_told_the_bad_ones_too(zone: DnsServer) -> None:
    zone.failing.add(("mx.good.example", "AAAA"))
    [dns] = (await found(probe(zone, 25), "half.example", connect=False))["dns"]
    answers = {(a["name"], a["kind"]): a for a in dns["answers"]}
    assert answers["half.example", "MX"]["records"] == (
        "10 gone.half.example.",
        "20 mx.good.example.",
    )
    assert answers["gone.half.example", "A"]["trouble"] == "no such name"
    assert answers["mx.good.example", "AAAA"]["trouble"] == "NoNameservers"


async def test_without_an_mx_the_addresses_are_asked_for(zone: DnsServer) -> None:
    [dns] = (await found(probe(zone, 25), "bare.example", connect=False))["dns"]
    assert [(a["kind"], a["records"]) for a in dns["answers"]] == [
        ("MX", ()),
        ("A", ("127.0.0.1",)),
        ("AAAA", ()),
    ]


async def test_a_literal_needs_no_question(zone: DnsServer) -> None:
    steps = await found(probe(zone, 2525), "[127.0.0.1]", connect=False)
    assert steps["dns"][0]["answers"] == []
    assert steps["hosts"][0]["hosts"][0]["ip"] == "127.0.0.1"


async def test_a_route_is_named_and_followed(zone: DnsServer) -> None:
    peer = MemoryPeer()
    async with listening(speaking(peer)) as port:
        routed = probe(zone, 1, f".example:relay.example:{port}")
        steps = await found(routed, "null.example")
    [plan], [host] = steps["plan"], steps["host"]
    assert plan["route"] == ".example"
    assert plan["relays"] == [{"host": "relay.example", "port": port}]
    assert (host["port"], host["greeted"]) == (port, True)


async def test_a_host_that_deliveries_pass_over_is_greeted_and_the_reason_told(
    zone: DnsServer,
) -> None:
    class Skipping:
        def why_not(self, host: Host) -> str:
            return f"{host.ip} refused twice"

        def failed(self, host: Host, why: str, *, connected: bool = False) -> None:
            raise AssertionError(f"a probe told what it found: {host} {why}")

        def answered(self, host: Host) -> None:
            raise AssertionError(f"a probe told what it found: {host}")

    async with listening(speaking(MemoryPeer())) as port:
        asking = probe(zone, port)
        object.__setattr__(asking.courier, "health", Skipping())
        [host] = (await found(asking, "good.example"))["host"]
    assert (host["skipped"], host["greeted"]) == ("127.0.0.1 refused twice", True)


async def test_more_probes_than_a_few_are_refused_at_once(zone: DnsServer) -> None:
    asking = probe(zone, 25)
    begun = [asking.steps("good.example", connect=False) for _ in range(5)]
    for steps in begun[:4]:
        await anext(steps)
    with pytest.raises(Unavailable, match="4 probes run already; try again in 20 s"):
        await anext(begun[4])
    for steps in begun:
        await steps.aclose()
    assert asking.running == 0


async def test_nobody_is_waited_for_any_longer_once_nobody_reads(zone: DnsServer) -> None:
    read_hosts = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        asking = probe(zone, port)

        async def read() -> None:
            async for step in asking.steps("good.example"):
                if step["step"] == "hosts":
                    read_hosts.set()

        reading = asyncio.create_task(read())
        await read_hosts.wait()
        reading.cancel()
        await asyncio.wait({reading})
    assert asking.running == 0
