"""badmailfrom, badrcptto and badhelo: which lines fit whom."""

import pytest

from tubepost.errors import BadInput
from tubepost.sender_patterns import fits, parse_hosts, parse_recipients, parse_senders, within


@pytest.mark.parametrize(
    ("lines", "address", "expected"),
    [
        (("*@example.org",), "joe@example.org", True),
        (("*@example.org",), "joe@sub.example.org", False),
        (("*example.org",), "joe@sub.example.org", True),
        (("JOE@*",), "joe@x.y", True),
        (("j?e@x.y",), "jim@x.y", False),
        (("[0-9]*@x.y",), "7up@x.y", True),
        (("[^0-9]*@x.y",), "7up@x.y", False),
        (("*@x.y", "!joe@x.y"), "joe@x.y", False),
        (("*@x.y", "!joe@x.y"), "ann@x.y", True),
        (("!joe@x.y", "*@x.y"), "joe@x.y", True),
        (("*@[192.0.2.1]",), "joe@[192.0.2.1]", False),  # a set of characters, as in wildmat
    ],
)
def test_the_last_pattern_that_fits_counts(
    lines: tuple[str, ...], address: str, expected: bool
) -> None:
    assert fits(parse_senders(lines).wild, address) is expected
    assert parse_recipients(lines).has_address(address) is expected


def test_a_pattern_of_many_stars_ends_soon() -> None:
    lines = ("*a" * 100 + "@x.y",)
    assert not fits(parse_senders(lines).wild, "a" * 240 + "@x.z")


def test_each_form_of_badmailfrom_has_its_place() -> None:
    found = parse_senders(
        ("Joe@x.y", "@x.y", "?ann@x.y", "@a.b+", "@c.d-", "@e.f=", "~g.h", "*@i", "@[192.0.2.1]")
    )
    assert found.exact == {"joe@x.y", "@x.y", "@[192.0.2.1]"}
    assert found.exempt == {"ann@x.y"}
    assert found.strangers == {"a.b"}
    assert found.nameless == {"c.d"}
    assert found.own == {"e.f"}
    assert found.others == {"g.h"}
    assert len(found.wild) == 1


@pytest.mark.parametrize(
    ("line", "domain", "name", "objects"),
    [
        ("@c.d-", "c.d", "", True),
        ("@c.d-", "c.d", "mx.c.d", False),
        ("@c.d-", "x.y", "", False),
        ("@e.f=", "e.f", "mail.e.f", False),
        ("@e.f=", "e.f", "e.f", False),
        ("@e.f=", "e.f", "notE.f".lower(), True),
        ("@e.f=", "e.f", "", False),
        ("~g.h", "x.y", "dial.g.h", True),
        ("~g.h", "g.h", "dial.g.h", False),
        ("~g.h", "x.y", "mx.x.y", False),
        ("@c.d-", "c.d", None, False),
        ("@e.f=", "e.f", None, False),
        ("~g.h", "x.y", None, False),
    ],
)
def test_what_the_clients_name_says(
    line: str, domain: str, name: str | None, objects: bool
) -> None:
    found = parse_senders((line,))
    assert found.need_name
    assert found.name_objects(domain, name) is objects


@pytest.mark.parametrize("bad", ["example.org", "+@x.y", "=@x.y", "?x.y", "~", "~a b", "@+", "a *"])
def test_a_line_that_is_none_of_badmailfrom(bad: str) -> None:
    with pytest.raises(BadInput):
        parse_senders(("joe@x.y", bad))


def test_badhelo_are_hosts() -> None:
    found = parse_hosts(("LOCALHOST", "*.example.org", "!mx.example.org"))
    assert found.has("localhost")
    assert found.has("a.example.org")
    assert not found.has("mx.example.org")
    assert not found.has("example.org")


def test_within_is_a_matter_of_labels() -> None:
    assert within("a.b", "a.b")
    assert within("x.a.b", "a.b")
    assert not within("xa.b", "a.b")
    assert not within("a.b", "")
