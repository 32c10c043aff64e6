"""Local is what the directory holds; all else is remote."""

import pytest

from tubepost.routing import Route, route

OURS = frozenset({"example.org", "[192.0.2.1]"})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("joe@example.org", Route("local", "example.org")),
        ("joe@EXAMPLE.org", Route("local", "example.org")),
        ('"a@b"@example.org', Route("local", "example.org")),
        ("joe@[192.0.2.1]", Route("local", "[192.0.2.1]")),
        ("joe@sub.example.org", Route("remote", "sub.example.org")),
        ("joe@Example.NET", Route("remote", "example.net")),
        ('"joe@example.org"@example.net', Route("remote", "example.net")),
    ],
)
def test_route(address: str, expected: Route) -> None:
    assert route(address, OURS) == expected


def test_without_domains_nothing_is_local() -> None:
    assert route("joe@example.org", frozenset()).channel == "remote"
