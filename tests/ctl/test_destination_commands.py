"""`tubepost destinations`: what is listed, in which order, how much; what a reset asks for."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from ctl.client import Refused
from ctl.destination_commands import listed, reset
from services.scheduler.served import Trouble
from tests.ctl.canned import Canned, answering


def trouble(name: str, **more: Any) -> dict[str, Any]:
    """As the scheduler answers."""
    plain = Trouble(
        name=name,
        limit=20,
        rate=None,
        window=1,
        until=0.0,
        failures=2,
        error="timed out",
        out=0,
        waiting=3,
        paused=False,
    )
    return asdict(replace(plain, **more))


UNTIL = "until 1970-01-01T00:01:00Z"
HOST = {"ip": "192.0.2.1", "port": 25, "failures": 2, "since": 1.0, "until": 60.0, "why": "refused"}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    with answering({"GET destinations": (200, [trouble("far.example")])}) as server:
        monkeypatch.setenv("TUBEPOST_ADMIN", server.url)
        monkeypatch.setenv("TUBEPOST_ACTOR", "kim")
        yield server


def test_the_longest_line_comes_first(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    slow = trouble(
        "slow.example", waiting=9, rate=0.5, until=60.0, paused=True, site=".mx", error="gone"
    )
    platform.answers["GET destinations"] = (200, [trouble("b.example"), slow, trouble("a.example")])
    listed()
    assert capsys.readouterr().out.splitlines() == [
        f"slow.example\t9 waiting\t0 of 1 out\tlimit 20, 0.5/s\twith .mx\tpaused\t{UNTIL}\tgone",
        "a.example\t3 waiting\t0 of 1 out\tlimit 20\ttimed out",
        "b.example\t3 waiting\t0 of 1 out\tlimit 20\ttimed out",
    ]


def test_hosts_stand_beneath(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    six = HOST | {"ip": "2001:db8::1", "until": 120.0}
    platform.answers["GET hosts"] = (200, [HOST, six])
    listed()
    assert capsys.readouterr().out.splitlines()[1:] == [
        "host [2001:db8::1]:25\t2 failures\tuntil 1970-01-01T00:02:00Z\trefused",
        "host 192.0.2.1:25\t2 failures\tuntil 1970-01-01T00:01:00Z\trefused",
    ]


@pytest.mark.parametrize("status", [404, 503])
def test_hosts_are_left_out_where_remote_cannot_tell(
    platform: Canned, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    platform.answers["GET hosts"] = (status, {"detail": "away"})
    listed()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_list_is_bounded(platform: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    many = [trouble(f"d{n}.example") for n in range(5)]
    platform.answers["GET destinations"] = (200, many)
    listed(limit=2)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "and 3 more destinations; --limit 5 shows all"
    ]
    listed(limit=2, json=True)
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == [
        "d0.example",
        "d1.example",
    ]


def test_a_reset_ends_the_back_off_of_its_hosts_first(
    platform: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}, {"ip": "192.0.2.1"}]
    steps = [{"step": "plan"}, {"step": "hosts", "hosts": hosts}, {"step": "end"}]
    lines = b"".join(json.dumps(step).encode() + b"\n" for step in steps)
    platform.answers |= {
        "GET hosts": (200, [HOST]),
        "GET probe": (200, lines),
        "POST hosts/192.0.2.1/reset": (200, {"ip": "192.0.2.1", "ports": [25]}),
        "POST hosts/192.0.2.2/reset": (200, {"ip": "192.0.2.2", "ports": []}),
        "POST destinations/far.example/reset": (200, {"destination": "far.example"}),
    }
    reset(["far.example"])
    assert capsys.readouterr().out == "reset far.example\nreset host 192.0.2.1\n"
    assert platform.asked == [
        "GET hosts",
        "GET probe?address=far.example&connect=false",
        "POST hosts/192.0.2.1/reset",
        "POST hosts/192.0.2.2/reset",
        "POST destinations/far.example/reset",
    ]


def test_without_a_host_that_is_backed_off_dns_is_not_asked(platform: Canned) -> None:
    platform.answers |= {
        "GET hosts": (200, []),
        "POST destinations/far.example/reset": (200, {"destination": "far.example"}),
    }
    reset(["far.example"])
    assert platform.asked == ["GET hosts", "POST destinations/far.example/reset"]


def test_a_refusal_is_told(platform: Canned) -> None:
    platform.answers["POST destinations/x/reset"] = (400, {"detail": "no domain"})
    with pytest.raises(Refused, match="no domain"):
        reset(["x"])
