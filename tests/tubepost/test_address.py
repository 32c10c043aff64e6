"""Addresses: what is one, what is none, and that printing and parsing agree."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tubepost.address import (
    MAX_ADDRESS,
    Address,
    AddressError,
    NotAscii,
    parse_address,
    parse_domain,
    printable,
)

PRINTABLE = "".join(chr(c) for c in range(0x20, 0x7F))
LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=1, max_size=5).map(".".join)


@given(st.text(PRINTABLE, min_size=1, max_size=64), DOMAINS)
def test_what_is_printed_is_parsed_to_the_same(local: str, domain: str) -> None:
    address = Address(local, domain)
    assume(len(str(address)) <= MAX_ADDRESS)
    assert parse_address(str(address)) == address


@given(st.text(max_size=80))
def test_any_text_is_an_address_or_raises_address_error(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("joe@example.org", "joe", "example.org"),
        ("Joe.Doe@EXAMPLE.Org", "Joe.Doe", "example.org"),
        ("joe@example.org.", "joe", "example.org"),
        ("joe@localhost", "joe", "localhost"),
        ("a+b=c@x.y", "a+b=c", "x.y"),
        ("!#$%&'*+/=?^_`{|}~-@x.y", "!#$%&'*+/=?^_`{|}~-", "x.y"),
        ('"a b"@x.y', "a b", "x.y"),
        ('"a@b"@x.y', "a@b", "x.y"),
        (r'"a\"\\b"@x.y', 'a"\\b', "x.y"),
        ('"plain"@x.y', "plain", "x.y"),
        ("joe@[192.0.2.1]", "joe", "[192.0.2.1]"),
        ("joe@[IPv6:2001:DB8::1]", "joe", "[IPv6:2001:DB8::1]"),
        ("joe@_dmarc.example.org", "joe", "_dmarc.example.org"),
        ("x" * 64 + "@x.y", "x" * 64, "x.y"),
    ],
)
def test_addresses(text: str, local: str, domain: str) -> None:
    assert parse_address(text) == Address(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "", "joe", "joe@", "@x.y", "joe@@x.y", "a b@x.y", ".a@x.y", "a.@x.y", "a..b@x.y", '""@x.y',
        '"a@x.y', 'a"b"@x.y', '"a\r\n"@x.y', "joe@x.y\r\n", "joe@x y", "joe@-x.y", "joe@x-.y",
        "joe@.x", "joe@x..y", "joe@[192.0.2]", "joe@[x]", "joe@[192.0.2.1", "joe@x.y>", "jöe@x.y",
        "joe@\u212aelvin.org", "x" * 65 + "@x.y", "joe@" + "x" * 64 + ".y", "joe\x00@x.y",
        "joe@" + ".".join(["x" * 60] * 5),
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


def test_the_longest_address() -> None:
    local, domain = "x" * 64, ".".join(["d" * 47] * 4)[: MAX_ADDRESS - 65]
    assert len(f"{local}@{domain}") == MAX_ADDRESS
    parse_address(f"{local}@{domain}")
    with pytest.raises(AddressError, match="255"):
        parse_address(f"{local}@{domain}d")


def test_the_key_ignores_case_and_quotes() -> None:
    keys = {parse_address(a).key for a in ("Joe@X.y", "jOE@x.Y", '"joe"@x.y')}
    assert keys == {"joe@x.y"}


def test_the_local_part_keeps_its_case() -> None:
    assert str(parse_address("Joe@X.Y")) == "Joe@x.y"


@pytest.mark.parametrize("text", ["", ".", "x..y", "-x", "x" * 64, "x y", "[", "[]", "a" * 256])
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(AddressError):
        parse_domain(text)


@pytest.mark.parametrize("text", ["\u212aelvin.org", "[\u0661.1.1.1]"])
def test_a_domain_is_ascii(text: str) -> None:
    with pytest.raises(AddressError):
        parse_domain(text)


def test_printable_is_one_short_line_of_ascii() -> None:
    assert printable("a\r\nb\x00\x7fö") == "a??b???"
    assert printable(string.printable, 5) == "01234"
    assert len(printable("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("josé@example.org", "josé", "example.org"),
        ("joe@MÜLLER.example", "joe", "xn--mller-kva.example"),
        ("用户@例子。example", "用户", "xn--fsqu00a.example"),
        ('"jo sé"@example.org', "jo sé", "example.org"),
        ("joe@xn--mller-kva.example", "joe", "xn--mller-kva.example"),
    ],
)
def test_other_letters_where_they_were_asked_for(text: str, local: str, domain: str) -> None:
    address = parse_address(text, utf8=True)
    assert address == Address(local, domain)
    assert parse_address(str(address), utf8=True) == address


@pytest.mark.parametrize(
    "text",
    [
        "jos\udce9@example.org",
        "jos\x85@example.org",
        "a\u2028b@example.org",
        "a\u202eb@example.org",
        "é" * 33 + "@example.org",
        "joe@\u00b7.example",
        "joe@[é]",
        "é" * 60 + "@" + "é." * 60 + "example",
        "joe@xn--é.example",
    ],
)
def test_what_is_no_address_even_then(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text, utf8=True)


def test_other_letters_have_to_be_asked_for() -> None:
    for text in ("josé@example.org", "joe@müller.example"):
        with pytest.raises(NotAscii, match="needs SMTPUTF8"):
            parse_address(text)


def test_one_letter_written_in_two_ways_is_one_mailbox() -> None:
    one, two = (parse_address(text, utf8=True) for text in ("JOSÉ@x.y", "jose\u0301@x.y"))
    assert one != two
    assert one.key == two.key


@given(st.text(max_size=80))
def test_any_text_is_a_wide_address_or_raises_address_error(text: str) -> None:
    try:
        address = parse_address(text, utf8=True)
    except AddressError:
        return
    assert parse_address(str(address), utf8=True) == address
    assert len(f"{address} ".splitlines()) == 1
