"""The settings of smtpd: what is taken, what is refused, and the defaults that keep the relay shut.

Every setting of smtp_values has its samples here.
"""

from ipaddress import IPv6Network

import pytest

from tubepost import control_values, smtp_values
from tubepost.errors import BadInput
from tubepost.rate_limits import Limit
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
    "enhancedstatuscodes": [("0",), ("1",)],
    "localips": [(), ("192.0.2.1", "2001:db8::1")],
    "localiphost": [("mail.example.org",)],
    "maxrcpt": [("1",), ("100000",)],
    "timeoutsmtpd": [("1",), ("86400",)],
    "overquota": [("defer",), ("refuse",)],
    "relaydenied": [("sorry, {domain} isn't allowed to be relayed thru this MTA (#5.7.1)",)],
    "relayusers": [("0",), ("20",)],
    "tcprules": [(), ('10.:allow,RELAYCLIENT=""',), ('10.:allow,SMTPRATES="off"',)],
    "smtprates": [(), ("mails:100/h", " errors : 30 / 10m ", ""), ("submitted:10000000/7d",)],
    "concurrencyincoming": [("0",), ("1000000",)],
    "concurrencyclient": [("0",), ("1000000",)],
    "timeoutdata": [("1",), ("86400",)],
    "datarate": [("0",), ("1000",)],
    "maxline": [("0",), ("1000",)],
    "maxheader": [("1000",), ("67108864",)],
    "maxerrors": [("0",), ("100000",)],
    "greetdelay": [("0",), ("60",)],
    "tarpitcount": [("0",), ("100000",)],
    "tarpitdelay": [("1",), ("999",)],
    **{key: [(), ("10.0.0.0/8", "fd00::/8")] for key in NETWORKS},
    **{key: [("0",), ("1",)] for key in ("authplaintext", "autholdline", "authonmx")},
    "authmechanisms": [("plain",), ("LOGIN plain",), ("cram-md5", "plain login")],
    "authdelay": [("0",), ("60",)],
    **{key: [("any",), ("Domain",), ("account",)] for key in ("authmailfrom", "relaymailfrom")},
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
    "enhancedstatuscodes": [("2",), ("yes",)],
    "localips": [("192.0.2.0/24",), ("mail.example.org",)],
    "localiphost": [(), ("a b",)],
    "maxrcpt": [("0",), ("100001",)],
    "timeoutsmtpd": [("0",), ("86401",)],
    "overquota": [(), ("bounce",), ("defer", "refuse")],
    "relaydenied": [("{user}",), (), ("a", "b")],
    "relayusers": [("-1",), ("21",)],
    "tcprules": [("10.:allow", "nonsense"), ('10.:allow,SMTPRATES="on"',)],
    "smtprates": [
        *[(line,) for line in ("mails", "mails:100", "mails:0/h", "mails:1/0h", "mails:1/w")],
        *[(line,) for line in ("Mails:1/h", "calls:1/h", "mails:-1/h", "mails:10000001/h")],
        *[(line,) for line in ("mails:1/8d", "mails:1/h extra", "mails:\u0661/h")],
        ("mails:1/h", "mails:2/d"),
    ],
    "concurrencyincoming": [("-1",), ("1000001",), ("",)],
    "concurrencyclient": [("-1",), ("1000001",), ("",)],
    "timeoutdata": [("0",), ("86401",)],
    "datarate": [("-1",), ("x",)],
    "maxline": [("-1",), ("x",)],
    "maxheader": [("0",), ("999",)],
    "maxerrors": [("-1",), ("100001",)],
    "greetdelay": [("-1",), ("61",)],
    "tarpitcount": [("-1",), ("100001",)],
    "tarpitdelay": [("0",), ("1000",)],
    **{key: [("10.",)] for key in NETWORKS},
    **{key: [("2",), ("yes",), ()] for key in ("authplaintext", "autholdline", "authonmx")},
    "authmechanisms": [(), (" ",), ("plain digest-md5",)],
    "authdelay": [("-1",), ("61",), ()],
    **{key: [(), ("all",), ("any", "domain")] for key in ("authmailfrom", "relaymailfrom")},
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


def test_mechanisms_keep_their_order_and_stand_there_once() -> None:
    assert parsed("authmechanisms", "login PLAIN", "login") == ("login", "plain")


def test_nothing_is_weaker_than_tls_by_default() -> None:
    """AUTH-6: no password in the clear, and none that has to be stored readable."""
    assert "cram-md5" not in smtp_values.AUTHMECHANISMS.default
    assert smtp_values.AUTHPLAINTEXT.default == smtp_values.AUTHONMX.default == 0


def test_smtprates_are_a_number_in_a_time_for_each_kind() -> None:
    assert parsed(
        "smtprates", "mails:100/h", "errors:30/10m", "recipients:5/2s", "relayed:9/d"
    ) == {
        "mails": Limit(100, 3600),
        "errors": Limit(30, 600),
        "recipients": Limit(5, 2),
        "relayed": Limit(9, 86_400),
    }


def test_no_rate_is_limited_unless_the_operator_says_so() -> None:
    assert smtp_values.SMTPRATES.default == {}
