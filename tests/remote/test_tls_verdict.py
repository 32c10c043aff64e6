"""What an operator is told of a host's certificate, whatever the level is."""

from pathlib import Path

import pytest

from services.remote.connection import Session
from services.remote.mx import Host
from services.remote.terms import Source, Terms
from services.remote.tls_verdict import distrust
from tests.remote.authority import Authority, TlsPeer
from tubepost.certificate_names import told_der
from tubepost.errors import BadInput

IP, NAME = "127.0.0.1", "mx.example.org"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def terms(ca: Authority) -> Terms:
    return Terms(source=Source(helo="me.example"), ca_file=str(ca.file))


async def test_the_certificate_of_a_session_that_nobody_verified(ca: Authority) -> None:
    async with TlsPeer(ca.server(NAME, "*.example.net", alone=True)).listening() as port:
        session = await Session.open(Host(NAME, IP, port), terms(ca))
        assert isinstance(session, Session)
        session.close()
    assert not session.opened.verified
    told = told_der(session.opened.certificate)
    assert told.names == (NAME, "*.example.net")
    assert told.issuer == f"CN={NAME}"


@pytest.mark.parametrize(
    ("names", "alone", "why"),
    [
        ((), False, ""),
        ((".example.org",), False, ""),
        (("example.net",), False, "its certificate is for mx.example.org, not for example.net"),
        ((), True, "its certificate is self-signed"),
    ],
)
async def test_whether_it_would_do_for_verify(
    ca: Authority, names: tuple[str, ...], *, alone: bool, why: str
) -> None:
    peer = TlsPeer(ca.server(NAME, alone=alone))
    async with peer.listening() as port:
        found = await distrust(Host(NAME, IP, port), terms(ca), names)
    assert found == (f"Connected to {IP} but {why}. (#4.7.5)" if why else "")
    assert peer.said("MAIL") == 0


def test_what_is_no_certificate() -> None:
    with pytest.raises(BadInput):
        told_der(b"nothing")
