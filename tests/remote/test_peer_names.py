"""Which names a certificate may have for which are wanted."""

import pytest

from services.remote.peer_names import Presented, covers, told


def dns(*names: str) -> Presented:
    return [("DNS", name) for name in names]


@pytest.mark.parametrize(
    ("presented", "wanted"),
    [
        ("mx.example.org", "mx.example.org"),
        ("MX.Example.ORG.", "mx.example.org"),
        ("mx.example.org", "MX.EXAMPLE.ORG"),
        ("*.example.org", "mx.example.org"),
        ("mx.example.org", ".example.org"),
        ("a.b.example.org", ".example.org"),
        ("*.example.org", ".example.org"),
        ("*.b.example.org", ".example.org"),
        ("*.example.org", "xn--mller-kva.example.org"),
    ],
)
def test_a_name_that_will_do(presented: str, wanted: str) -> None:
    assert covers(dns("other.example", presented), ("no.example", wanted))


@pytest.mark.parametrize(
    ("presented", "wanted"),
    [
        ("example.org", "mx.example.org"),
        ("mx.example.org", "example.org"),
        ("*.example.org", "example.org"),
        ("*.example.org", "a.b.example.org"),
        ("m*.example.org", "mx.example.org"),
        ("*x.example.org", "mx.example.org"),
        ("*x.example.org", ".example.org"),
        ("mx.*.org", "mx.example.org"),
        ("*.*.org", "mx.example.org"),
        ("*.org", "example.org"),
        ("*.org", ".org"),
        ("*", "org"),
        ("example.org", ".example.org"),
        (".example.org", ".example.org"),
        ("evilexample.org", ".example.org"),
        ("mx.example.org\0.evil.example", "mx.example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("*.0.2.1", "192.0.2.1"),
        ("", ".example.org"),
    ],
)
def test_a_name_that_will_not_do(presented: str, wanted: str) -> None:
    assert not covers(dns(presented), (wanted,))


@pytest.mark.parametrize(
    ("presented", "wanted", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("2001:DB8:0:0:0:0:0:1\n", "2001:db8::1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "mx.example.org", False),
    ],
)
def test_addresses_stand_in_names_of_their_own_kind(
    presented: str, wanted: str, *, same: bool
) -> None:
    assert covers([("IP Address", presented)], (wanted,)) is same


def test_other_kinds_and_no_names_cover_nothing() -> None:
    assert not covers([("email", "mx.example.org"), ("URI", "mx.example.org")], ("mx.example.org",))
    assert not covers((), ("mx.example.org",))
    assert not covers(dns("mx.example.org"), ())


def test_the_names_of_a_certificate_in_a_sentence() -> None:
    assert told(()) == "no name"
    assert told([("email", "a@b.example"), *dns("b.example")]) == "b.example"
    many = dns(*(f"{n}.example" for n in range(7)))
    assert told(many) == "0.example, 1.example, 2.example, 3.example and 3 more"
    assert told(dns("a\r\nb.example")) == "a/b.example"
