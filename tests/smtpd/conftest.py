"""smtpd with a certificate, over a real bus."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ctl import certificate
from tests.smtpd.running import Smtpd, running
from tubepost.certificates import DEFAULT, Certificates, Pair
from tubepost.nats_bus import NatsBus


@pytest.fixture(scope="session")
def cert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) for localhost."""
    found, key, _ = certificate.ensure(tmp_path_factory.mktemp("tls"), "mail.example")
    return found, key


@pytest.fixture
def client_tls(cert: tuple[Path, Path]) -> ssl.SSLContext:
    """Trusts that certificate and nothing else."""
    return ssl.create_default_context(cafile=str(cert[0]))


@pytest.fixture
async def smtpd(bus: NatsBus, cert: tuple[Path, Path]) -> AsyncIterator[Smtpd]:
    """Knows ann@example.net; bob may log in with `correct horse`, nothing else is configured."""
    async with running(bus, Certificates(Pair(DEFAULT, *cert)).context) as smtpd:
        await smtpd.add_accounts("ann@example.net")
        await smtpd.answer_logins(bob="correct horse")
        yield smtpd
