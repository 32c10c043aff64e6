import pytest

from tubepost import smtproutes
from tubepost.errors import BadInput
from tubepost.smtproutes import Relay, Route


@pytest.mark.parametrize(
    ("entry", "domain", "relay"),
    [
        ("example.org:relay.example.net", "example.org", Relay("relay.example.net")),
        ("Example.ORG:Relay.Example.net:2525", "example.org", Relay("relay.example.net", 2525)),
        (".example.org:10.0.0.1", ".example.org", Relay("10.0.0.1")),
        (":smart.example:587", "", Relay("smart.example", 587)),
        ("example.org:", "example.org", None),
        ("example.org:[2001:db8::1]:26", "example.org", Relay("2001:db8::1", 26)),
        ("example.org:[IPv6:2001:db8::1]", "example.org", Relay("2001:db8::1")),
        ("example.org:[192.0.2.1]", "example.org", Relay("192.0.2.1")),
        ("[192.0.2.9]:relay.example", "[192.0.2.9]", Relay("relay.example")),
        ("[IPv6:2001:DB8::9]:relay.example", "[ipv6:2001:db8::9]", Relay("relay.example")),
    ],
)
def test_entry(entry: str, domain: str, relay: Relay | None) -> None:
    assert smtproutes.parse([entry]) == {domain: Route(relays=(relay,) if relay else ())}


def test_blank_entries_and_comments_are_passed_over() -> None:
    assert smtproutes.parse(["", "  ", "# old: relay", " a.example:b.example "]) == {
        "a.example": Route(relays=(Relay("b.example"),))
    }


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("example.org", "write domain:relay"),
        ("example.org:relay:0", "'0' is not a port"),
        ("example.org:relay:65536", "not a port"),
        ("example.org:relay:" + "9" * 5000, "not a port"),
        ("example.org:relay:", "'' is not a port"),
        ("example.org::25", "'' is not a host name"),
        ("example.org:2001:db8::1", "in brackets"),
        ("example.org:[2001:db8::1", "in brackets is"),
        ("example.org:[nonsense]", "not an IP address"),
        ("example.org:[192.0.2.1]25", "in brackets is"),
        ("example.org:10.0.0.300", "not an IP address"),
        ("exa mple.org:relay", "not a domain name"),
        ("example.org:relay|user|pass", "not a host name"),
        (".:relay", "not a domain name"),
    ],
)
def test_bad_entry_is_told_in_one_line(entry: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        smtproutes.parse(["fine.example:", entry])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("smtproutes: ")


def test_two_routes_for_one_domain_are_refused() -> None:
    with pytest.raises(BadInput, match=r"b\.example has two routes"):
        smtproutes.parse(["b.example:x", "B.example:y"])


ROUTES = smtproutes.parse(
    ["a.b.example:exact", ".b.example:near", ".example:far", "direct.example:", ":default"]
)


@pytest.mark.parametrize(
    ("domain", "relay"),
    [
        ("a.b.example", "exact"),
        ("A.B.Example", "exact"),
        ("x.a.b.example", "near"),
        ("b.example", "far"),
        ("example", "default"),
        ("other.test", "default"),
        ("[192.0.2.1]", "default"),
    ],
)
def test_lookup_takes_the_longest_match(domain: str, relay: str) -> None:
    assert smtproutes.lookup(ROUTES, domain).relays == (Relay(relay),)


def test_empty_relay_is_an_exception_to_a_wider_route() -> None:
    assert smtproutes.lookup(ROUTES, "direct.example").relays == ()


def test_no_route_means_mx() -> None:
    assert smtproutes.lookup({}, "example.org") == smtproutes.BY_MX
