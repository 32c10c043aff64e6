"""DNS lists: how a line is read, what is asked, and what an answer means."""

import pytest

from tubepost import blocklists
from tubepost.blocklists import DnsList, Found, meaning, parse, question, text_for
from tubepost.errors import BadInput


def test_a_line_is_a_base_or_an_option_with_a_base() -> None:
    assert parse(("BL.example", "-r bl.example", "-a wl.example", " ")) == (
        DnsList("bl.example"),
        DnsList("bl.example"),
        DnsList("wl.example", allows=True),
    )


def test_the_answers_that_count_and_the_text_stand_behind_the_base() -> None:
    (found,) = parse(("-r bl.example=127.0.0.2, 127.0.0.4-11 : see http://x.example/?ip=%IP%",))
    assert [len(numbers) for numbers in found.answers] == [1, 8]
    assert text_for(found, "192.0.2.1", ["its own"]) == "see http://x.example/?ip=192.0.2.1"


@pytest.mark.parametrize(
    "bad",
    ["-x a.b", "-r", "a b", "a.b=", "a.b=127.0.0.300", "a.b=10.0.0.1", "a.b=127.0.0.5-4", "a:\x07"],
)
def test_a_line_that_is_none(bad: str) -> None:
    with pytest.raises(BadInput):
        parse((bad,))


def test_so_many_lists_and_no_more() -> None:
    lines = tuple(f"bl{n}.example" for n in range(blocklists.MAX_LISTS + 1))
    assert len(parse(lines[:-1])) == blocklists.MAX_LISTS
    with pytest.raises(BadInput):
        parse(lines)


def test_an_ipv4_address_is_asked_for_by_its_numbers_and_ipv6_by_its_nibbles() -> None:
    assert question("192.0.2.99", "bl.example") == "99.2.0.192.bl.example"
    assert question("fe80::1%eth0", "bl.example") == question("fe80::1", "bl.example")
    # the example of RFC 5782 2.4
    assert question("2001:db8:1:2:3:4:567:89ab", "bl.example") == (
        "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example"
    )


@pytest.mark.parametrize(
    ("answers", "records", "expected"),
    [
        ("", [], Found.CLEAR),
        ("", ["127.0.0.2"], Found.LISTED),
        ("", ["127.255.255.254"], Found.FAILED),
        ("", ["127.255.255.252", "127.0.0.4"], Found.LISTED),
        ("", ["192.0.2.1"], Found.FAILED),
        ("=127.0.0.4-11", ["127.0.0.11"], Found.LISTED),
        ("=127.0.0.4-11", ["127.0.0.12", "127.0.0.3"], Found.CLEAR),
        ("=127.0.0.4-11,127.0.0.2", ["127.0.0.2"], Found.LISTED),
    ],
)
def test_what_the_records_mean(answers: str, records: list[str], expected: Found) -> None:
    (dns_list,) = parse((f"bl.example{answers}",))
    assert meaning(dns_list, records) is expected


def test_a_text_is_cut_and_made_printable() -> None:
    dns_list = DnsList("bl.example")
    assert text_for(dns_list, "192.0.2.1", ["a\r\n250 ok\u00e9"]) == "a??250 ok?"
    assert len(text_for(dns_list, "192.0.2.1", ["x" * 900])) == 200
    assert text_for(dns_list, "192.0.2.1", []) == "192.0.2.1 is listed by bl.example"
