"""What is remembered of hosts whose TLS failed."""

import pytest

from services.remote.mx import Host
from services.remote.tls import TlsProblem
from services.remote.tls_fallbacks import SECONDS, Fallbacks
from tests.fakes import FakeClock

BROKEN = TlsProblem("the TLS handshake failed: bad record mac", "handshake")


def host(number: int, port: int = 25) -> Host:
    return Host(f"mx{number}.example", f"192.0.2.{number}", port)


def test_a_host_is_remembered_for_a_while_and_by_its_name_address_and_port() -> None:
    clock = FakeClock()
    fallbacks = Fallbacks(clock)
    fallbacks.learn(host(1), BROKEN)
    assert fallbacks.known(Host("another.name.example", "192.0.2.1")) is None
    assert fallbacks.known(host(2)) is None
    assert fallbacks.known(host(1, 587)) is None
    clock.advance(SECONDS - 1)
    assert fallbacks.known(host(1)) is BROKEN
    clock.advance(1)
    assert fallbacks.known(host(1)) is None


def test_a_session_without_trouble_teaches_nothing() -> None:
    fallbacks = Fallbacks(FakeClock())
    fallbacks.learn(host(1), None)
    assert fallbacks.known(host(1)) is None


def test_the_oldest_gives_way() -> None:
    fallbacks = Fallbacks(FakeClock(), most=2)
    for number in (1, 2, 1, 3):
        fallbacks.learn(host(number), BROKEN)
    assert [n for n in (1, 2, 3) if fallbacks.known(host(n))] == [1, 3]


def test_it_is_told_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    Fallbacks(FakeClock()).learn(host(1), BROKEN)
    output = capsys.readouterr()
    assert "tls.fallback" in output.out + output.err
    assert BROKEN.text in output.out + output.err
