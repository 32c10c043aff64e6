"""The table of TLS policies."""

import pytest

from tubepost.errors import BadInput
from tubepost.tls_policy import OPPORTUNISTIC, Level, TlsPolicy, lookup, parse, parse_policy

TABLE = parse(
    [
        "# by mail domain",
        "Example.ORG:verify:mx.example.net,.Example.net, 192.0.2.1,2001:DB8::1",
        "sub.example.org : none",
        ".example.org:encrypt",
        "plain.example:verify",
    ]
)


@pytest.mark.parametrize(
    ("domain", "policy"),
    [
        (
            "example.org",
            TlsPolicy(Level.VERIFY, ("mx.example.net", ".example.net", "192.0.2.1", "2001:db8::1")),
        ),
        ("SUB.example.org", TlsPolicy(Level.NONE)),
        ("a.sub.example.org", TlsPolicy(Level.ENCRYPT)),
        ("plain.example", TlsPolicy(Level.VERIFY)),
        ("other.example", OPPORTUNISTIC),
        ("[192.0.2.1]", OPPORTUNISTIC),
    ],
)
def test_the_most_specific_line_rules(domain: str, policy: TlsPolicy) -> None:
    assert lookup(TABLE, domain) == policy


def test_a_line_for_all_others() -> None:
    table = parse([":encrypt", "a.example:may"])
    assert lookup(table, "b.example").level is Level.ENCRYPT
    assert lookup(table, "a.example").level is Level.MAY


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("example.org", "write domain:level"),
        ("example.org:always", "'always' is no level; write one of: none, may, encrypt, verify"),
        ("example.org:encrypt:mx.example.org", "names are for verify only"),
        ("example.org:verify:", "is not a name"),
        ("example.org:verify:a.example,,b.example", "is not a name"),
        ("example.org:verify:*.example.org", "write mx.example.org, or .example.org"),
        ("example.org:verify:..example.org", "is not a name"),
        ("two words:may", "not a domain name"),
    ],
)
def test_a_line_that_is_wrong_is_told_in_one_line(line: str, why: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse([line])
    assert str(refused.value).startswith("tlspolicy: ")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_lines_for_one_domain() -> None:
    with pytest.raises(BadInput, match="two levels; keep one"):
        parse(["example.org:may", "example.org:none"])


def test_a_policy_by_itself() -> None:
    assert parse_policy("verify:.a.example") == TlsPolicy(Level.VERIFY, (".a.example",))


@pytest.mark.parametrize("level", Level)
def test_port_465_is_tls_from_the_first_octet_unless_that_is_forbidden(level: Level) -> None:
    policy = TlsPolicy(level)
    forbidden = level is Level.NONE
    assert policy.from_the_start(465) is not forbidden
    assert policy.demanded_at(465) is not forbidden
    assert not policy.by_starttls(465)
    assert not policy.from_the_start(25)
    assert policy.by_starttls(587) is not forbidden
    assert policy.demanded_at(25) is (level in (Level.ENCRYPT, Level.VERIFY))
