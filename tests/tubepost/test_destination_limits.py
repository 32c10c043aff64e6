"""`destinations`: which limit a domain has, and what is refused."""

import pytest

from tubepost.destination_limits import DEFAULT, Limit, lookup, parse, shared
from tubepost.errors import BadInput

TABLE = parse(
    [
        "Big.Example:50",
        ".big.example:3:30/m",
        ".example:7",
        "# a comment",
        "",
        " slow.example : 1 : 6/h ",
        ":10:5/s",
        "[IPv6:2001:db8::1]:2",
    ]
)


@pytest.mark.parametrize(
    ("domain", "limit"),
    [
        ("big.example", Limit(50)),
        ("BIG.example", Limit(50)),
        ("mx.big.example", Limit(3, 0.5)),
        ("a.b.big.example", Limit(3, 0.5)),
        ("other.example", Limit(7)),
        ("slow.example", Limit(1, 6 / 3600)),
        ("example", Limit(10, 5.0)),
        ("verybig.example", Limit(7)),
        ("far.test", Limit(10, 5.0)),
        ("[ipv6:2001:db8::1]", Limit(2)),
    ],
)
def test_the_most_specific_line_counts(domain: str, limit: Limit) -> None:
    assert lookup(TABLE, domain) == limit


def test_without_a_default_line_it_is_20() -> None:
    assert lookup({}, "far.test") == lookup(parse(["x.test:1"]), "far.test") == DEFAULT == Limit(20)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("far.test", "domain:concurrency"),
        ("far.test:1:2/s:3", "domain:concurrency"),
        ("far.test:0", "from 1 to 10000"),
        ("far.test:10001", "from 1 to 10000"),
        ("far.test:-1", "from 1 to 10000"),
        ("far.test:x", "from 1 to 10000"),
        ("far.test:", "from 1 to 10000"),
        ("far.test:1:", "N/s, N/m or N/h"),
        ("far.test:1:5", "N/s, N/m or N/h"),
        ("far.test:1:0/s", "N/s, N/m or N/h"),
        ("far.test:1:5/d", "N/s, N/m or N/h"),
        ("far.test:1:10001/s", "10000/s at most"),
        ("a b:1", "a b:1"),
        ("..test:1", "test:1"),
        ("mx :5", "name a mail host"),
        ("mx", "domain:concurrency"),
        ("mx .far.test", "domain:concurrency"),
        ("mx far.test:0", "from 1 to 10000"),
        ("mx a b:1", "a b"),
    ],
)
def test_what_is_refused_is_named(line: str, why: str) -> None:
    with pytest.raises(BadInput, match="destinations: ") as refusal:
        parse([line])
    assert why in str(refusal.value)


@pytest.mark.parametrize(
    "lines", [["x.test:1", "X.test:2"], [":1", ":2"], ["mx x.test:1", "MX  X.test:2"]]
)
def test_one_limit_for_each_domain(lines: list[str]) -> None:
    with pytest.raises(BadInput, match="two limits"):
        parse(lines)


def test_a_domain_and_mail_hosts_of_one_name_are_two_things() -> None:
    table = parse(["mx .x.test:3:1/s", ".x.test:5", "mx.x.test:7", ":9"])
    assert (lookup(table, "a.x.test"), lookup(table, "mx.x.test")) == (Limit(5), Limit(7))
    assert lookup(table, "y.test") == Limit(9)
    assert shared(table) == {".x.test": Limit(3, 1.0)}
