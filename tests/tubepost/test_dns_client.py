"""The DNS client over a real name server: what it keeps, asks once, and takes for no answer."""

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property

import pytest

from tests.dns_server import DnsServer, serving_dns
from tests.fakes import FakeClock
from tubepost import dns_client
from tubepost.dns_client import DnsClient, NoSuchName, Trouble
from tubepost.tasks import background

ZONE = """
host.example. IN A 192.0.2.1
text.example. IN TXT "one " "two"
1.2.0.192.in-addr.arpa. IN PTR Host.example.
2.2.0.192.in-addr.arpa. IN PTR a\\032b.example.
short.example. 7 IN A 192.0.2.7
xn--fa-hia.example. IN A 192.0.2.8
chain.example. IN CNAME link.example.
link.example. 7 IN CNAME host.example.
dangling.example. IN CNAME absent.example.
loop.example. IN CNAME pool.example.
pool.example. IN CNAME loop.example.
"""
PATIENCE = 10.0


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
def client(zone: DnsServer) -> DnsClient:
    return DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0)


class Watched(DnsClient):
    """Tells each time it was found out whether anybody answers."""

    def _is_away(self, why: str) -> None:
        super()._is_away(why)
        self.looks.put_nowait(why)

    @cached_property
    def looks(self) -> asyncio.Queue[str]:
        return asyncio.Queue()

    async def look(self) -> str:
        return await asyncio.wait_for(self.looks.get(), PATIENCE)


async def test_records_none_and_no_such_name(client: DnsClient) -> None:
    found = await client.records("host.example", "A")
    assert not isinstance(found, NoSuchName | Trouble)
    assert [record.to_text() for record in found] == ["192.0.2.1"]
    assert await client.records("host.example", "MX") == []
    assert await client.records("absent.example", "A") == NoSuchName()
    assert await client.records("a..b", "A") == NoSuchName()


async def test_texts_are_joined_and_names_are_host_names(client: DnsClient) -> None:
    found = await client.records("text.example", "TXT")
    assert not isinstance(found, NoSuchName | Trouble)
    assert dns_client.texts(found) == ["one two"]
    assert dns_client.reverse_name("fe80::1%eth0") == dns_client.reverse_name("fe80::1")
    for ip, names in (("192.0.2.1", ["host.example"]), ("192.0.2.2", [])):
        found = await client.records(dns_client.reverse_name(ip), "PTR")
        assert not isinstance(found, NoSuchName | Trouble)
        assert dns_client.hosts(found) == names


async def test_an_answer_is_kept_and_so_is_a_no(zone: DnsServer, client: DnsClient) -> None:
    for _ in range(3):
        await client.records("host.example", "A")
        await client.records("absent.example", "A")
    assert zone.asked == [("host.example", "A"), ("absent.example", "A")]


async def test_the_same_question_is_asked_once_for_all_who_wait(
    zone: DnsServer, client: DnsClient
) -> None:
    zone.holding = True
    waiting = [asyncio.create_task(client.records("HOST.example", "A")) for _ in range(5)]
    await zone.came(1)
    waiting[0].cancel()  # one that goes away takes the answer from nobody
    zone.let_go()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(answer, list) for answer in found[1:])
    assert zone.asked == [("host.example", "A")]


async def test_questions_at_once_are_bounded(
    zone: DnsServer, client: DnsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_client, "MAX_WAITING", 1)
    zone.holding = True
    first = asyncio.create_task(client.records("host.example", "A"))
    await zone.came(1)
    assert await client.records("text.example", "TXT") == Trouble("too many questions at once")
    zone.let_go()
    assert await first
    assert await client.records("text.example", "TXT")


async def test_an_error_of_the_server_is_trouble(zone: DnsServer, client: DnsClient) -> None:
    zone.failing = {("host.example", "A")}
    assert await client.records("host.example", "A") == Trouble("NoNameservers")


@pytest.mark.parametrize(
    ("name", "kind", "seconds"),
    [("short.example", "A", 7), ("chain.example", "A", 7), ("absent.example", "A", 300)],
)
async def test_an_answer_is_kept_for_its_time_to_live(
    zone: DnsServer, clock: FakeClock, name: str, kind: str, seconds: int
) -> None:
    client = DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0, clock=clock)
    for later, asked in ((0.0, 1), (seconds - 1, 1), (1, 2)):
        clock.advance(later)
        await client.records(name, kind)
        assert len(zone.asked) == asked


async def test_a_question_without_an_answer_rests_for_a_moment(
    zone: DnsServer, clock: FakeClock
) -> None:
    client = DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0, trouble_seconds=5.0, clock=clock)
    zone.failing = {("host.example", "A")}
    for _ in range(3):
        assert await client.records("host.example", "A") == Trouble("NoNameservers")
    assert len(zone.asked) == 1
    zone.failing.clear()
    clock.advance(5.0)
    assert isinstance(await client.records("host.example", "A"), list)


async def test_u_labels_are_asked_for_by_idna_2008(client: DnsClient) -> None:
    found = await client.records("FAß.example", "A")
    assert not isinstance(found, NoSuchName | Trouble)
    assert [record.to_text() for record in found] == ["192.0.2.8"]
    assert await client.records("a\u2024b..example", "A") == NoSuchName()


@pytest.mark.parametrize("name", ["x" * 64 + ".example", ".".join(["x" * 60] * 5), "a..b"])
async def test_what_can_be_no_name_is_not_asked_for(
    zone: DnsServer, client: DnsClient, name: str
) -> None:
    assert await client.records(name, "A") == NoSuchName()
    assert zone.asked == []


async def test_a_truncated_answer_is_fetched_by_tcp() -> None:
    async with serving_dns(ZONE, tcp=True) as zone:
        zone.truncating = {("host.example", "A")}
        client = DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0)
        assert await client.records("host.example", "A")
    assert zone.by_tcp == zone.asked == [("host.example", "A")]


async def test_aliases(client: DnsClient) -> None:
    found = await client.records("chain.example", "A")
    assert not isinstance(found, NoSuchName | Trouble)
    assert [record.to_text() for record in found] == ["192.0.2.1"]
    assert await client.records("dangling.example", "A") == NoSuchName()
    assert await client.records("loop.example", "A") == Trouble("NoNameservers")


async def test_a_refusal_and_a_lame_server_say_nothing_about_the_name(
    zone: DnsServer, client: DnsClient
) -> None:
    zone.refusing, zone.lame = {("host.example", "A")}, {("absent.example", "A")}
    assert await client.records("host.example", "A") == Trouble("NoNameservers")
    assert await client.records("absent.example", "A") == Trouble("lame server")


@pytest.mark.parametrize("fault", ["mute", "failing", "refusing"])
async def test_the_second_server_is_asked_and_then_first(zone: DnsServer, fault: str) -> None:
    """Also where the first one says nothing at all: it has a part of the time only."""
    async with serving_dns(ZONE, "127.0.0.2", zone.port) as second:
        client = DnsClient(["127.0.0.1", "127.0.0.2"], port=zone.port, seconds=2.0)
        setattr(zone, fault, fault == "mute" or {("host.example", "A")})
        assert isinstance(await client.records("host.example", "A"), list)
        assert zone.asked == second.asked == [("host.example", "A")]
        assert isinstance(await client.records("text.example", "TXT"), list)
        assert len(zone.asked) == 1


async def test_silence_of_one_zone_is_no_dead_resolver(zone: DnsServer) -> None:
    client = Watched(["127.0.0.1"], port=zone.port, seconds=0.2)
    zone.silent = {("host.example", "*")}
    async with background(client.watch(lambda: True, every=0.01)):
        assert await client.records("host.example", "A") == Trouble("timed out")
        assert await client.look() == ""
        assert zone.asked[-1][1] == "NS"
        assert await client.records("text.example", "TXT")


async def test_silence_of_all_is_seen_and_so_is_the_end_of_it(
    zone: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_client, "PROBE_SECONDS", 0.2)
    client = Watched(["127.0.0.1"], port=zone.port, seconds=0.2)
    zone.mute = True
    async with background(client.watch(lambda: True, every=0.01)):
        assert await client.records("host.example", "A") == Trouble("timed out")
        assert await client.look() == client.away == "no name server answers"
        zone.mute = False
        while await client.look():
            pass
        assert client.away == ""
    assert not isinstance(await client.records("host.example", "A"), Trouble)


async def test_nobody_is_asked_whether_he_is_there_while_no_setting_wants_dns(
    zone: DnsServer,
) -> None:
    client = DnsClient(["127.0.0.1"], port=zone.port, seconds=0.2)
    zone.mute = True
    wanted = asyncio.Event()

    def asked() -> bool:
        wanted.set()
        return False

    async with background(client.watch(asked, every=0.01)):
        await client.records("host.example", "A")
        await asyncio.wait_for(wanted.wait(), PATIENCE)
    assert {kind for _, kind in zone.asked} == {"A"}
    assert client.away == ""


async def test_of_very_many_hosts_the_best_are_taken_and_kept() -> None:
    """Whoever owns a zone could else keep a worker busy with each mail to it."""
    hosts = [f"many.example. 0 IN MX {200 - n} mx{n}.many.example." for n in range(200)]
    ips = [f"many.example. 0 IN A 192.0.2.{n}" for n in range(200)]
    texts = [f"many.example. 0 IN TXT text{n}" for n in range(60)]
    async with serving_dns("\n".join([*hosts, *ips, *texts]), tcp=True) as zone:
        zone.truncating = {("many.example", "*")}
        client = DnsClient(["127.0.0.1"], port=zone.port, seconds=5.0)
        found = {kind: await client.records("many.example", kind) for kind in ("MX", "A", "TXT")}
        await client.records("many.example", "MX")
        assert zone.asked == [("many.example", kind) for kind in ("MX", "A", "TXT")]
    assert not isinstance(found["MX"], NoSuchName | Trouble)
    assert [p for p, _ in dns_client.exchangers(found["MX"])] == list(range(1, 51))
    assert isinstance(found["A"], list)
    assert isinstance(found["TXT"], list)
    assert [len(found["A"]), len(found["TXT"])] == [50, 60]
