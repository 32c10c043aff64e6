"""Each control file: what is taken, what is refused, and its default."""

from ipaddress import IPv6Network

import pytest

from tubepost import control_values as values
from tubepost.errors import BadInput, NotFound
from tubepost.tcprules import as_ipv6

HOST_SETTINGS = ["me", "helohost", "bouncehost", "doublebouncehost"]
MAILBOXES = ["bouncefrom", "doublebounceto"]
NUMBERS = {
    "databytes": (0, 2**40, 52_428_800),
    "maxrcpt": (1, 100_000, 1000),
    "timeoutsmtpd": (1, 86_400, 1200),
    "timeoutconnect": (1, 3600, 60),
    "timeoutremote": (1, 86_400, 1200),
    "queuelifetime": (0, 31_536_000, 604_800),
    "retryjitter": (0, 4, 4),
    "concurrencylocal": (0, 10_000, 100),
    "concurrencyremote": (0, 10_000, 200),
    "bouncemaxbytes": (0, 2**40, 50_000),
    "delaywarning": (0, 31_536_000, 0),
}
WORDS = ["smtpgreeting", "retryschedule"]
LISTS = ["rcpthosts", "badmailfrom", "tcprules", "relaynetworks", "smtproutes", "destinations"]


def parsed(name: str, *lines: str) -> object:
    return values.setting(name).parse(lines)


def refused(name: str, *lines: str) -> None:
    with pytest.raises(BadInput):
        parsed(name, *lines)


def test_the_groups_here_name_every_setting() -> None:
    assert {*HOST_SETTINGS, *MAILBOXES, *NUMBERS, *LISTS, *WORDS} == set(values.SETTINGS)


def test_every_setting_says_what_it_is() -> None:
    for name, setting in values.SETTINGS.items():
        assert setting.name == name
        assert setting.help.endswith(".")
        assert setting.reader


def test_an_unknown_setting_names_the_known_ones() -> None:
    with pytest.raises(NotFound, match="queuelifetime"):
        values.setting("queuelifetme")


@pytest.mark.parametrize("name", HOST_SETTINGS)
def test_a_host_name(name: str) -> None:
    assert values.setting(name).default is None
    assert parsed(name, "MX.Example.Org") == "mx.example.org"
    assert parsed(name, " mx.example.org. ") == "mx.example.org"
    for bad in ("a b", "-x", "x..y", "", "mx\r\nx"):
        refused(name, bad)
    refused(name)
    refused(name, "a.b", "c.d")


@pytest.mark.parametrize("name", MAILBOXES)
def test_a_mailbox(name: str) -> None:
    assert parsed(name, "postmaster") == "postmaster"
    assert parsed(name, "Joe.Doe@Example.ORG") == "Joe.Doe@example.org"
    for bad in ("a b", "@x.y", "joe@", "joe@x y", "j\u00f6e", ""):
        refused(name, bad)


def test_a_mailbox_in_quotes_keeps_them() -> None:
    assert parsed("bouncefrom", '"mail system"') == '"mail system"'


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number(name: str) -> None:
    low, high, default = NUMBERS[name]
    assert values.setting(name).default == default
    assert parsed(name, str(low)) == low
    assert parsed(name, f" {high} ") == high
    for bad in (str(low - 1), str(high + 1), "1.5", "", "x", "1 2", "+5", "1_000", "\u0663"):
        refused(name, bad)
    refused(name)
    refused(name, "5", "6")


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
    assert parsed("badmailfrom", "Spam@Example.org", "@Example.NET", " ") == {
        "spam@example.org",
        "@example.net",
    }
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
    (network,) = values.RELAYNETWORKS.parse((line, " "))
    assert isinstance(network, IPv6Network)
    assert all(as_ipv6(ip) in network for ip in inside)
    assert not any(as_ipv6(ip) in network for ip in outside)


@pytest.mark.parametrize(
    "bad", ["10.0.0.1/8", "10.0.0.0/33", "10.", "x", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129"]
)
def test_relaynetworks_that_are_none(bad: str) -> None:
    refused("relaynetworks", "127.0.0.1", bad)


def test_no_list_setting_lets_anybody_relay_by_default() -> None:
    assert values.RCPTHOSTS.default == frozenset()
    assert values.RELAYNETWORKS.default == ()
    assert not values.TCPRULES.default.of("127.0.0.1").relays
    assert values.SMTPROUTES.default == {}


def test_tcprules_and_smtproutes_are_read_by_their_own_modules() -> None:
    assert values.TCPRULES.parse(('10.:allow,RELAYCLIENT=""',)).of("10.0.0.1").relays
    assert set(values.SMTPROUTES.parse((":relay.example.org:25",))) == {""}
    refused("tcprules", "10.:allow", "nonsense")
    refused("smtproutes", "nonsense")
