from collections.abc import AsyncIterator
from random import Random

import pytest

from services.remote.mx import DnsResolver, Host, in_order, literal_address
from tests.dns_server import DnsServer, serving_dns
from tubepost.outcome import Deferred, Failed

ZONE = """
two.example. IN MX 20 b.two.example.
two.example. IN MX 10 a.two.example.
a.two.example. IN A 192.0.2.1
a.two.example. IN A 192.0.2.2
a.two.example. IN AAAA 2001:db8::1
b.two.example. IN A 192.0.2.3
shared.example. IN MX 10 a.two.example.
shared.example. IN MX 20 alias.example.
alias.example. IN CNAME a.two.example.
plain.example. IN A 192.0.2.4
plain.example. IN AAAA 2001:db8::4
null.example. IN MX 0 .
nothing.example. IN TXT "no address here"
lost.example. IN MX 10 nowhere.example.
half.example. IN MX 10 nowhere.example.
half.example. IN MX 20 b.two.example.
"""


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with serving_dns(ZONE) as server:
        yield server


@pytest.fixture
def resolver(zone: DnsServer) -> DnsResolver:
    return DnsResolver(["127.0.0.1"], port=zone.port, seconds=5.0, rng=Random(1))


async def ips(resolver: DnsResolver, domain: str) -> list[str]:
    found = await resolver.mail_hosts(domain)
    assert not isinstance(found, Deferred | Failed), found
    return [host.ip for host in found]


def test_equal_preferences_are_shuffled_and_others_kept_in_order() -> None:
    exchangers = [(30, "last"), (10, "first"), (20, "a"), (20, "b"), (20, "c")]
    orders = [in_order(exchangers, Random(seed)) for seed in range(50)]
    assert {order[0] for order in orders} == {"first"}
    assert {order[-1] for order in orders} == {"last"}
    assert len({tuple(order) for order in orders}) == 6


def test_the_same_exchanger_is_taken_once_at_its_best() -> None:
    assert in_order([(20, "a"), (10, "b"), (5, "a")], Random(0)) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[999.0.2.1]", None),
        ("example.org", None),
    ],
)
def test_literal_address(text: str, ip: str | None) -> None:
    assert literal_address(text) == ip


async def test_exchangers_by_preference_with_all_their_addresses(resolver: DnsResolver) -> None:
    found = await resolver.mail_hosts("two.example")
    assert not isinstance(found, Deferred | Failed)
    first, second = Host("a.two.example", "192.0.2.1"), Host("a.two.example", "192.0.2.2")
    assert list(found[:2]) in ([first, second], [second, first])  # as the name server has them
    assert found[2:] == [Host("a.two.example", "2001:db8::1"), Host("b.two.example", "192.0.2.3")]


async def test_an_address_is_tried_once(resolver: DnsResolver) -> None:
    found = await ips(resolver, "shared.example")
    assert sorted(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


async def test_no_mx_means_the_domain_itself(resolver: DnsResolver) -> None:
    assert await ips(resolver, "plain.example") == ["192.0.2.4", "2001:db8::4"]


async def test_null_mx_is_permanent(resolver: DnsResolver) -> None:
    found = await resolver.mail_hosts("null.example")
    assert isinstance(found, Failed)
    assert found.status == "5.1.10"
    assert "null.example" in found.text


async def test_no_such_domain_is_permanent(resolver: DnsResolver) -> None:
    text = "Sorry, I couldn't find any host named absent.example. (#5.1.2)"
    assert await resolver.mail_hosts("absent.example") == Failed(text=text, status="5.1.2")


@pytest.mark.parametrize("domain", ["nothing.example", "lost.example"])
async def test_no_address_is_permanent(resolver: DnsResolver, domain: str) -> None:
    text = "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)"
    assert await resolver.mail_hosts(domain) == Failed(text=text, status="5.4.4")


async def test_an_exchanger_without_address_is_passed_over(resolver: DnsResolver) -> None:
    assert await ips(resolver, "half.example") == ["192.0.2.3"]


@pytest.mark.parametrize(
    ("domain", "failing"),
    [
        ("two.example", {("two.example", "MX")}),
        ("plain.example", {("plain.example", "*")}),
        ("half.example", {("b.two.example", "A")}),
        ("nothing.example", {("nothing.example", "AAAA")}),
    ],
)
async def test_servfail_is_temporary(
    zone: DnsServer, resolver: DnsResolver, domain: str, failing: set[tuple[str, str]]
) -> None:
    zone.failing = failing
    found = await resolver.mail_hosts(domain)
    assert isinstance(found, Deferred)
    assert found.status == "4.4.3"
    assert "(#4.4.3)" in found.text


async def test_a_failing_exchanger_is_passed_over_while_another_has_an_address(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    zone.failing = {("a.two.example", "*")}
    assert await ips(resolver, "two.example") == ["192.0.2.3"]


async def test_silence_is_temporary(zone: DnsServer) -> None:
    zone.silent = {("two.example", "MX")}
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, seconds=0.2)
    found = await resolver.mail_hosts("two.example")
    assert isinstance(found, Deferred)
    assert found.text == "MX lookup of two.example failed temporarily (timed out). (#4.4.3)"


@pytest.mark.parametrize("domain", ["a..b", "x" * 64 + ".example"])
async def test_an_impossible_name_does_not_exist(resolver: DnsResolver, domain: str) -> None:
    found = await resolver.mail_hosts(domain)
    assert isinstance(found, Failed)
    assert found.status == "5.1.2"


async def test_literals_ask_no_name_server(zone: DnsServer, resolver: DnsResolver) -> None:
    assert await resolver.mail_hosts("[192.0.2.7]") == [Host("192.0.2.7", "192.0.2.7")]
    assert await resolver.addresses("2001:db8::7") == [Host("2001:db8::7", "2001:db8::7")]
    assert isinstance(await resolver.mail_hosts("[192.0.2.700]"), Failed)
    assert zone.asked == []


async def test_a_relay_is_resolved_by_its_addresses_only(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    found = await resolver.addresses("b.two.example")
    assert found == [Host("b.two.example", "192.0.2.3")]
    assert {kind for _, kind in zone.asked} == {"A", "AAAA"}


async def test_answers_are_kept_for_their_time_to_live(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    first = await resolver.mail_hosts("two.example")
    asked = len(zone.asked)
    assert await resolver.mail_hosts("two.example") == first
    assert len(zone.asked) == asked
