"""The settings of smtpd: what is taken, what is refused, and the defaults that keep the relay shut.

Every setting of smtp_values has its samples here.
"""

from ipaddress import IPv6Network

import pytest

from tubepost import control_values, smtp_values
from tubepost.errors import BadInput
from tubepost.setting import Lines, Setting
from tubepost.tcprules import as_ipv6

SETTINGS = {s.name: s for s in vars(smtp_values).values() if isinstance(s, Setting)}

NETWORKS = ("relaynetworks", "proxynetworks", "clusternetworks")

TAKEN: dict[str, list[Lines]] = {
    "smtpgreeting": [("mx.example.org no spam",)],
    "rcpthosts": [(), ("example.org", ".example.net")],
    "badmailfrom": [(), ("spam@example.org", "@example.net"), ("?a@b.c", "@b.c+", "~b.c", "!*@b")],
    "badrcptto": [(), ("spam@example.org", "@example.net", "*@x.*", "!a@x.y")],
    "badhelo": [(), ("localhost", "*.example.org", "!mx.example.org")],
    "helocheck": [("0",), (".",), ("=",), ("A",), ("m",)],
    "mfdnscheck": [("0",), ("1",)],
    "lookuphost": [("0",), ("1",), ("paranoid",)],
    "rbl": [(), ("bl.example", "-a wl.example", "-r x.example=127.0.0.2,127.0.0.4-9:no %IP%")],
    "rbltimeout": [("1",), ("60",)],
    "rblcode": [("451",), ("553",)],
    "databytes": [("0",), (str(2**40),)],
    "maxrcpt": [("1",), ("100000",)],
    "timeoutsmtpd": [("1",), ("86400",)],
    "tcprules": [(), ('10.:allow,RELAYCLIENT=""',)],
    **{key: [(), ("10.0.0.0/8", "fd00::/8")] for key in NETWORKS},
}
REFUSED: dict[str, list[Lines]] = {
    "smtpgreeting": [(), ("a", "b")],
    "rcpthosts": [("a b",)],
    "badmailfrom": [("example.org",), ("+@example.org",), ("?example.org",), ("~",), ("a b*@x",)],
    "badrcptto": [("example.org",), ("!",)],
    "badhelo": [("a b",), ("a@b",)],
    "helocheck": [("1",), (), ("!",)],
    "mfdnscheck": [("2",), ("",)],
    "lookuphost": [("2",), ()],
    "rbl": [("-x bl.example",), ("bl.example=1.2.3.4",), ("-r ",), ("a.b=127.0.0.9-2",)],
    "rbltimeout": [("0",), ("61",)],
    "rblcode": [("550",), ()],
    "databytes": [("-1",), (str(2**40 + 1),), ("x",), (), ("1", "2")],
    "maxrcpt": [("0",), ("100001",)],
    "timeoutsmtpd": [("0",), ("86401",)],
    "tcprules": [("10.:allow", "nonsense")],
    **{key: [("10.",)] for key in NETWORKS},
}


def test_every_setting_has_its_samples() -> None:
    assert set(TAKEN) == set(REFUSED) == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_taken_and_what_is_not(name: str) -> None:
    for lines in TAKEN[name]:
        SETTINGS[name].parse(lines)
    for lines in REFUSED[name]:
        refused(name, *lines)


def parsed(name: str, *lines: str) -> object:
    return control_values.setting(name).parse(lines)


def refused(name: str, *lines: str) -> None:
    with pytest.raises(BadInput):
        parsed(name, *lines)


def test_smtpgreeting_is_one_line_of_ascii() -> None:
    assert parsed("smtpgreeting", "mx.example.org no spam") == "mx.example.org no spam"
    for bad in ("", "  ", "a\r\nb", "gr\u00fc\u00df", "a\tb"):
        refused("smtpgreeting", bad)
    refused("smtpgreeting", "a", "b")


def test_rcpthosts_are_hosts_and_what_is_below_them() -> None:
    found = parsed("rcpthosts", "Example.ORG", ".example.NET", "", "example.org")
    assert found == {"example.org", ".example.net"}
    assert parsed("rcpthosts") == frozenset()
    for bad in ("a b", "joe@example.org", "..x", ".", "*"):
        refused("rcpthosts", "example.org", bad)


def test_badmailfrom_are_senders_and_hosts() -> None:
    found = smtp_values.BADMAILFROM.parse(("Spam@Example.org", "@Example.NET", " "))
    assert found.exact == {"spam@example.org", "@example.net"}
    assert not found.wild
    assert not found.need_name
    for bad in ("example.org", "@", "@@x.y", "a b@x.y"):
        refused("badmailfrom", bad)


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.0", "::1"]),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
        ("fd00::/8", ["fd12::1"], ["fe80::1", "10.0.0.1"]),
        ("::1", ["::1"], ["127.0.0.1"]),
        ("::ffff:a00:0/104", ["10.1.2.3"], ["11.0.0.0"]),
    ],
)
def test_relaynetworks(line: str, inside: list[str], outside: list[str]) -> None:
    (network,) = smtp_values.RELAYNETWORKS.parse((line, " "))
    assert isinstance(network, IPv6Network)
    assert all(as_ipv6(ip) in network for ip in inside)
    assert not any(as_ipv6(ip) in network for ip in outside)


@pytest.mark.parametrize(
    "bad", ["10.0.0.1/8", "10.0.0.0/33", "10.", "x", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129"]
)
def test_relaynetworks_that_are_none(bad: str) -> None:
    refused("relaynetworks", "127.0.0.1", bad)


def test_no_list_setting_lets_anybody_relay_by_default() -> None:
    assert smtp_values.RCPTHOSTS.default == frozenset()
    assert smtp_values.RELAYNETWORKS.default == ()
    assert not smtp_values.TCPRULES.default.of("127.0.0.1").relays
