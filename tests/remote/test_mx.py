from collections.abc import AsyncIterator
from random import Random

import pytest

from services.remote.loop_guard import Ourselves
from services.remote.mx import DnsResolver, Host, literal_address, only_ourselves
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
notnull.example. IN MX 0 .
notnull.example. IN MX 10 b.two.example.
six.example. IN AAAA 2001:db8::6
mapped.example. IN AAAA ::ffff:192.0.2.8
alias.two.example. IN CNAME two.example.
indirect.example. IN MX 10 alias.example.
loop.example. IN CNAME pool.example.
pool.example. IN CNAME loop.example.
looping.example. IN MX 10 loop.example.
xn--fa-hia.example. IN MX 10 b.two.example.
ours.example. IN MX 5 b.two.example.
ours.example. IN MX 10 mx.ours.example.
ours.example. IN MX 10 a.two.example.
mx.ours.example. IN A 198.51.100.1
best.example. IN MX 5 mx.ours.example.
best.example. IN MX 10 b.two.example.
self.example. IN A 198.51.100.1
here.example. IN MX 10 localhost.two.example.
localhost.two.example. IN A 127.0.0.1
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


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[IPv6:::ffff:192.0.2.1]", "192.0.2.1"),
        ("[999.0.2.1]", None),
        ("example.org", None),
    ],
)
def test_literal_address(text: str, ip: str | None) -> None:
    assert literal_address(text) == ip


async def test_exchangers_by_preference_with_all_their_addresses(resolver: DnsResolver) -> None:
    found = await resolver.mail_hosts("two.example")
    assert not isinstance(found, Deferred | Failed)
    a, b = "a.two.example", "b.two.example"
    four = {host for host in found if host.ip in ("192.0.2.1", "192.0.2.2")}
    assert four == {Host(a, "192.0.2.1", preference=10), Host(a, "192.0.2.2", preference=10)}
    assert found[1] == Host(a, "2001:db8::1", preference=10)  # the families take turns
    assert found[3:] == [Host(b, "192.0.2.3", preference=20)]


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
    assert found.status == "4.1.2"
    assert found.text.startswith("Sorry, I couldn't find any host by that name. (#4.1.2)/")


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
    text = "Sorry, I couldn't find any host by that name. (#4.1.2)"
    assert found.text == text + "/MX lookup of two.example failed temporarily (timed out)."


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


async def test_a_null_mx_counts_only_alone(resolver: DnsResolver) -> None:
    assert await ips(resolver, "notnull.example") == ["192.0.2.3"]


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        ("alias.two.example", {"192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"}),
        ("alias.example", {"192.0.2.1", "192.0.2.2", "2001:db8::1"}),
        ("indirect.example", {"192.0.2.1", "192.0.2.2", "2001:db8::1"}),
    ],
)
async def test_aliases_are_followed(resolver: DnsResolver, domain: str, found: set[str]) -> None:
    assert set(await ips(resolver, domain)) == found


@pytest.mark.parametrize("domain", ["loop.example", "looping.example"])
async def test_an_alias_that_leads_to_itself_is_temporary(
    resolver: DnsResolver, domain: str
) -> None:
    assert isinstance(await resolver.mail_hosts(domain), Deferred)


async def test_a_zone_that_knows_no_name_by_mx_may_have_its_address(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    zone.missing = {("plain.example", "MX")}
    assert await ips(resolver, "plain.example") == ["192.0.2.4", "2001:db8::4"]
    zone.failing = {("absent.example", "A")}
    assert isinstance(await resolver.mail_hosts("absent.example"), Deferred)


async def test_other_letters_are_asked_for_by_idna_2008(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    assert await ips(resolver, "FAß.example") == ["192.0.2.3"]
    found = await resolver.mail_hosts("müller.example")
    assert isinstance(found, Failed)
    assert found.text == "Sorry, I couldn't find any host named xn--mller-kva.example. (#5.1.2)"
    zone.asked.clear()
    assert isinstance(await resolver.mail_hosts("ﬀ..example"), Failed)
    assert zone.asked == []


async def test_an_ipv4_address_in_an_aaaa_record_is_one(resolver: DnsResolver) -> None:
    assert await ips(resolver, "mapped.example") == ["192.0.2.8"]


@pytest.mark.parametrize(
    ("families", "found"),
    [
        ("64", ["2001:db8::4", "192.0.2.4"]),
        ("46", ["192.0.2.4", "2001:db8::4"]),
        ("4", ["192.0.2.4"]),
        ("6", ["2001:db8::4"]),
    ],
)
async def test_families_by_setting(zone: DnsServer, families: str, found: list[str]) -> None:
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, families=lambda: families)
    assert await ips(resolver, "plain.example") == found


async def test_a_family_that_we_leave_out_makes_no_bounce(zone: DnsServer) -> None:
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, families=lambda: "4")
    found = await resolver.mail_hosts("six.example")
    assert isinstance(found, Deferred)
    assert "ipfamilies" in found.text
    zone.failing = {("nothing.example", "AAAA")}
    assert isinstance(await resolver.mail_hosts("nothing.example"), Deferred)
    assert isinstance(await resolver.mail_hosts("lost.example"), Failed)


@pytest.mark.parametrize("known", ["mx.ours.example", ".ours.example", "198.51.100.1"])
async def test_only_what_is_better_than_we_are(resolver: DnsResolver, known: str) -> None:
    us = Ourselves(frozenset([known]))
    assert await resolver.mail_hosts("ours.example", us) == [
        Host("b.two.example", "192.0.2.3", preference=5)
    ]
    assert await resolver.mail_hosts("best.example", us) == only_ourselves()


@pytest.mark.parametrize("domain", ["self.example", "[198.51.100.1]", "here.example"])
async def test_what_leads_to_us_alone_fails(resolver: DnsResolver, domain: str) -> None:
    us = Ourselves(frozenset(["198.51.100.1"]))
    found = await resolver.mail_hosts(domain, us)
    assert isinstance(found, Failed)
    assert found.status == "5.4.6"


async def test_we_are_the_best_whatever_families_we_use(zone: DnsServer) -> None:
    resolver = DnsResolver(["127.0.0.1"], port=zone.port, families=lambda: "4")
    us = Ourselves(frozenset(["192.0.2.4"]))
    assert await resolver.mail_hosts("plain.example", us) == only_ourselves()


async def test_a_better_host_that_cannot_be_looked_up_now_is_worth_waiting_for(
    zone: DnsServer, resolver: DnsResolver
) -> None:
    zone.failing = {("b.two.example", "*")}
    found = await resolver.mail_hosts("ours.example", Ourselves(frozenset(["mx.ours.example"])))
    assert isinstance(found, Deferred)
