"""tcpserver's rules: every form of a line, which one wins, and what is refused."""

from ipaddress import ip_address, ip_network

import pytest

from tubepost.errors import BadInput
from tubepost.tcprules import Rule, Rules, as_ipv6, parse


def allowed(line: str, ip: str) -> bool:
    """Whether this line, over a rule that denies everybody, lets `ip` in."""
    return parse([line, ":deny"]).of(ip).allow


@pytest.mark.parametrize(
    ("address", "inside", "outside"),
    [
        ("192.0.2.7", ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.8", "::192.0.2.7"]),
        ("192.0.2.", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.20.1"]),
        ("10.", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "100.0.0.1", "1.0.0.0"]),
        ("10.20.", ["10.20.0.1"], ["10.2.0.1", "10.200.0.1"]),
        ("192.0.2.5-7", ["192.0.2.5", "192.0.2.6", "192.0.2.7"], ["192.0.2.4", "192.0.2.8"]),
        ("192.0.2.0-255", ["192.0.2.0", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"]),
        ("10.0.1-3.", ["10.0.1.0", "10.0.2.9", "10.0.3.255"], ["10.0.0.1", "10.0.4.0"]),
        ("10.16-31.", ["10.16.0.0", "10.31.255.255"], ["10.15.0.0", "10.32.0.0"]),
        ("192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]),
        ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["2001:db8::1", "::1"]),
        ("2001:db8::1", ["2001:db8::1", "2001:DB8:0::1"], ["2001:db8::2"]),
        ("2001:db8::/32", ["2001:db8:ffff::1"], ["2001:db9::", "192.0.2.1"]),
        ("::1", ["::1"], ["::2", "127.0.0.1"]),
        ("::ffff:192.0.2.7", ["192.0.2.7"], ["192.0.2.8"]),
        ("", ["1.2.3.4", "2001:db8::1"], []),
    ],
)
def test_an_address_part(address: str, inside: list[str], outside: list[str]) -> None:
    line = f"{address}:allow"
    assert [ip for ip in inside if not allowed(line, ip)] == []
    assert [ip for ip in outside if allowed(line, ip) and address] == []


def test_a_range_in_the_first_part() -> None:
    assert allowed("10-12.:allow", "11.0.0.1")


RULES = [
    ":allow",
    "10.:deny",
    "10.0.:allow",
    "10.0.0.0/25:deny",
    "10.0.0.:allow",
    "10.0.0.1-9:allow",
    "10.0.0.7:deny",
]


@pytest.mark.parametrize("lines", [RULES, RULES[::-1]], ids=["written", "reversed"])
@pytest.mark.parametrize(
    ("ip", "winner"),
    [
        ("10.0.0.7", "10.0.0.1-9:allow"),  # a range is exact addresses: the first of two counts
        ("10.0.0.8", "10.0.0.1-9:allow"),
        ("10.0.0.100", "10.0.0.0/25:deny"),
        ("10.0.0.200", "10.0.0.:allow"),
        ("10.0.9.1", "10.0.:allow"),
        ("10.9.9.9", "10.:deny"),
        ("192.0.2.1", ":allow"),
        ("2001:db8::1", ":allow"),
    ],
)
def test_the_most_specific_rule_wins(lines: list[str], ip: str, winner: str) -> None:
    if ip == "10.0.0.7" and lines[0] != RULES[0]:
        winner = "10.0.0.7:deny"
    assert parse(lines).of(ip).line == winner


def test_of_two_for_one_address_the_first_counts() -> None:
    rules = parse(["192.0.2.7:deny", '192.0.2.7:allow,RELAYCLIENT=""', "192.0.2.7/32:allow"])
    assert not rules.of("192.0.2.7").allow


def test_without_a_rule_everybody_comes_in_and_nobody_relays() -> None:
    assert Rules().of("192.0.2.7") == parse([]).of("192.0.2.7") == Rule()
    assert Rule().allow
    assert not Rule().relays


def test_comments_and_blank_lines_are_passed_over() -> None:
    assert parse(["# 10.:deny", "", "   ", "\t# x", " 10.:deny "]).of("10.0.0.1").line == "10.:deny"


def test_a_file_with_crlf_says_the_same() -> None:
    lines = ['10.:allow,RELAYCLIENT=""', "# 10.:deny", "", ":deny"]
    with_cr = parse(f"{line}\r" for line in lines)
    for ip in ("10.0.0.1", "11.0.0.1"):
        assert with_cr.of(ip) == parse(lines).of(ip)


def test_a_comment_stands_on_a_line_of_its_own() -> None:
    with pytest.raises(BadInput, match="# ours"):
        parse(["10.:allow # ours"])


def test_the_index_finds_what_walking_all_rules_would() -> None:
    """10,000 rules, the widest first, against the plain definition: the longest prefix wins."""
    lines = [f"10.{n // 250}.{n % 250}.:deny" for n in range(9_000)]
    lines += [f"10.{n // 250}.{n % 250}.{n % 256}:allow" for n in range(999)] + ["10.0.0.0/9:allow"]
    rules = parse(reversed(lines))
    networks = [(ip_network(network_of(line)), line) for line in lines]
    for ip in ("10.0.0.0", "10.3.248.230", "10.3.248.231", "10.35.249.7", "10.99.0.1", "11.0.0.1"):
        inside = [found for found in networks if ip_address(ip) in found[0]]
        longest = max(inside, key=lambda found: found[0].prefixlen, default=(None, ""))
        assert rules.of(ip).line == longest[1]


def network_of(line: str) -> str:
    address = line.partition(":")[0]
    return f"{address}0/24" if address.endswith(".") else address


def test_a_look_up_takes_a_step_for_each_width_not_for_each_rule() -> None:
    rules = parse([f"10.{n // 250}.{n % 250}.:deny" for n in range(10_000)] + [":allow"])
    assert len(rules._by_width) == 2


@pytest.mark.parametrize(
    ("rest", "variables"),
    [
        ("", {}),
        (',RELAYCLIENT=""', {"RELAYCLIENT": ""}),
        (",RELAYCLIENT=//", {"RELAYCLIENT": ""}),
        (",RBLSMTPD=|-go, away|", {"RBLSMTPD": "-go, away"}),
        (',DATABYTES="100",RELAYCLIENT="",RBLSMTPD=""',
         {"DATABYTES": "100", "RELAYCLIENT": "", "RBLSMTPD": ""}),
        (',RBLSMTPD="a=b:c"', {"RBLSMTPD": "a=b:c"}),
        (',DATABYTES="1",DATABYTES="2"', {"DATABYTES": "2"}),
    ],
)  # fmt: skip
def test_variables(rest: str, variables: dict[str, str]) -> None:
    assert parse([f"10.:allow{rest}"]).of("10.0.0.1").variables == variables


def test_a_client_relays_where_it_is_allowed_with_relayclient() -> None:
    rules = parse(['10.:allow,RELAYCLIENT=""', '11.:deny,RELAYCLIENT=""', "12.:allow"])
    assert [rules.of(f"{n}.0.0.1").relays for n in (10, 11, 12)] == [True, False, False]


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.7", "192.0.2.7:", "192.0.2.7:permit", "192.0.2.7:ALLOW", "192.0.2.7:allowed",
        "192.0.2.7:allow RELAYCLIENT", "192.0.2.7:allow,", "192.0.2.7:allow,RELAYCLIENT",
        "192.0.2.7:allow,RELAYCLIENT=", '192.0.2.7:allow,RELAYCLIENT="', "x:allow",
        "256.0.0.1:deny", "192.0.2.300:deny",
        "192.0.2.1-300:deny", "192.0.2.9-1:deny", "192.0.2.1-:deny",
        "192.0.2.-9:deny", "192.0.2.a-b:deny", "192.0.2.1_0-2_0:deny", "192.0.2.+1-9:deny",
        "192.0.2. 1-9:deny", "192.0.2.\u0661-9:deny", "1.2.3.4.5.:deny", ".:deny", "10..:deny",
        "10.0.0.1/8:deny", "10.0.0.0/33:deny", "2001:db8::/129:deny", "10. :deny",
        "=example.org:allow", "=:allow", "joe@10.0.0.1:allow", "joe@:deny",
        '10.:allow,HOME="/"', '10.:allow,RELAYCLIENT="@x.y"', '10.:allow,DATABYTES="many"',
        '10.:allow,DATABYTES=""', '10.:allow,DATABYTES="-1"', '10.:deny,RBLSMTPD="\u00f6"',
        '10.:deny,RBLSMTPD="a\tb"', '10.:allowRELAYCLIENT=""', "10.:allow;x",
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_by_name(line: str) -> None:
    with pytest.raises(BadInput) as error:
        parse(["10.:allow", line])
    assert line in str(error.value)


def test_the_text_of_a_variable_may_say_allow() -> None:
    rule = parse(['192.0.2.7:deny,RBLSMTPD="not on list x:allow"']).of("192.0.2.7")
    assert rule.variables == {"RBLSMTPD": "not on list x:allow"}


def test_addresses_of_both_families_compare_as_ipv6() -> None:
    assert as_ipv6("192.0.2.7") == as_ipv6("::ffff:192.0.2.7")
    with pytest.raises(ValueError, match=r"192\.0\.2"):
        as_ipv6("192.0.2")
