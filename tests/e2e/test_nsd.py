"""Hosts of domains from a name server of others: NSD, with a zone on loopback."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.remote.mx import DnsResolver
from tests.e2e.tools import require
from tubepost.dns_client import MAX_HOSTS, DnsClient
from tubepost.outcome import Deferred, Failed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BIG = "\n".join(f"big IN MX 10 {'x' * 50}-{i}.mx" for i in range(MAX_HOSTS))
ZONE = f"""
$ORIGIN example.
$TTL 300
@ IN SOA ns admin 1 300 300 300 60
@ IN NS ns
ns IN A 127.0.0.1
two IN MX 20 b.mx
two IN MX 10 a.mx
a.mx IN A 192.0.2.1
a.mx IN AAAA 2001:db8::1
b.mx IN A 192.0.2.2
alias IN CNAME two
via IN MX 10 alias.mx
alias.mx IN CNAME a.mx
null IN MX 0 .
loop IN CNAME pool
pool IN CNAME loop
below IN NS ns.elsewhere.test.
{BIG}
"""
CONFIG = """
server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  pidfile: ""
  database: ""
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: example
  zonefile: zone
"""


@pytest.fixture
def port(tmp_path: Path, unused_tcp_port: int) -> Iterator[int]:
    """Where NSD serves the zone."""
    (tmp_path / "zone").write_text(ZONE)
    config = tmp_path / "nsd.conf"
    config.write_text(CONFIG.format(port=unused_tcp_port, folder=tmp_path))
    command = [require("nsd", "nsd"), "-d", "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            assert any("nsd started" in line for line in server.stderr)
            yield unused_tcp_port
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("domain", "ips"),
    [
        ("two.example", ["192.0.2.1", "2001:db8::1", "192.0.2.2"]),
        ("alias.example", ["192.0.2.1", "2001:db8::1", "192.0.2.2"]),
        ("via.example", ["192.0.2.1", "2001:db8::1"]),
        ("b.mx.example", ["192.0.2.2"]),
    ],
)
async def test_hosts(port: int, domain: str, ips: list[str]) -> None:
    found = await DnsResolver(["127.0.0.1"], port=port).mail_hosts(domain)
    assert not isinstance(found, Deferred | Failed)
    assert [host.ip for host in found] == ips


@pytest.mark.parametrize(
    ("domain", "status"),
    [
        ("null.example", "5.1.10"),
        ("absent.example", "5.1.2"),
        ("ns.mx.example", "5.1.2"),
        ("big.example", "5.4.4"),
        ("loop.example", "4.1.2"),
        ("a.below.example", "4.1.2"),  # it knows only who might know
        ("example.test", "4.1.2"),  # refused: no zone of its own
    ],
)
async def test_why_there_is_none(port: int, domain: str, status: str) -> None:
    found = await DnsResolver(["127.0.0.1"], port=port).mail_hosts(domain)
    assert isinstance(found, Deferred | Failed)
    assert found.status == status


async def test_an_answer_too_long_for_udp(port: int) -> None:
    found = await DnsClient(["127.0.0.1"], port=port).records("big.example", "MX")
    assert isinstance(found, list)
    assert len(found) == MAX_HOSTS
