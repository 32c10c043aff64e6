"""The certificate of a first start."""

import datetime
import ssl
import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from ctl import certificate


def test_it_is_made_once_and_then_left_alone(tmp_path: Path) -> None:
    cert, key, made = certificate.ensure(tmp_path, "mail.example.org")
    assert made
    before = cert.read_bytes(), key.read_bytes()
    assert certificate.ensure(tmp_path, "other.example.org") == (cert, key, False)
    assert (cert.read_bytes(), key.read_bytes()) == before


def test_a_key_without_its_certificate_is_made_anew(tmp_path: Path) -> None:
    cert, _, _ = certificate.ensure(tmp_path, "mail.example.org")
    cert.unlink()
    cert, key, made = certificate.ensure(tmp_path, "mail.example.org")
    assert made
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    cert, key, _ = certificate.ensure(tmp_path, "mail.example.org")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (cert, key)} == {0o600}


def test_it_is_for_the_host_and_for_localhost(tmp_path: Path) -> None:
    cert, _, _ = certificate.ensure(tmp_path, "mail.example.org")
    found = x509.load_pem_x509_certificate(cert.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.org", "localhost"]
    now = datetime.datetime.now(datetime.UTC)
    assert found.not_valid_before_utc < now < found.not_valid_after_utc - datetime.timedelta(800)


def test_a_long_host_name_still_has_a_certificate(tmp_path: Path) -> None:
    host = "a" * 60 + "." + "b" * 60 + ".example.org"
    cert, _, _ = certificate.ensure(tmp_path, host)
    found = x509.load_pem_x509_certificate(cert.read_bytes())
    [name] = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(name.value) == 64
