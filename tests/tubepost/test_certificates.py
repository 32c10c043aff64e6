"""Certificates: the one for the name that is asked for, and the one that is in the files now."""

import asyncio
import datetime
import itertools
import os
import shutil
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes import FakeClock
from tubepost import metrics
from tubepost.certificates import CIPHERS, DEFAULT, EVERY, Certificates, Pair, server_tls
from tubepost.errors import BadInput
from tubepost.settings import TlsSettings

EXPIRES = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def write(cert: Path, key: Path, *names: str, subject: str = "", password: bytes = b"") -> None:
    """A self-signed pair; `subject` tells it from others, the first name if it is not given."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or names[0])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(EXPIRES)
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternative, critical=False)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(password) if password else None
    cert.parent.mkdir(exist_ok=True)
    cert.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(pem))
    key.write_bytes(
        private.private_bytes(pem, pkcs8, locked or serialization.NoEncryption()),
    )


def a_client(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Trusts everybody. `version`: speaks that one only, however weak."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    if version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            client.minimum_version = client.maximum_version = version
        client.set_ciphers("DEFAULT:@SECLEVEL=0")
    return client


def greeted(
    server: ssl.SSLContext, name: str | None = None, client: ssl.SSLContext | None = None
) -> ssl.SSLObject:
    """A handshake in memory; the client's end of it."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = (client or a_client()).wrap_bio(there, back, server_hostname=name)
    ends = [ours, server.wrap_bio(back, there, server_side=True)]
    while ends:
        end = ends.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            ends.append(end)
    return ours


def subject(server: ssl.SSLContext, name: str | None = None) -> str:
    """Whose certificate a client gets who asks for that name."""
    certificate = greeted(server, name).getpeercert(binary_form=True)
    assert certificate
    [found] = x509.load_der_x509_certificate(certificate).subject
    return str(found.value)


@pytest.fixture
def default(tmp_path: Path) -> Pair:
    pair = Pair(DEFAULT, tmp_path / "tls.crt", tmp_path / "tls.key")
    write(pair.cert, pair.key, "mail.example")
    return pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "domains"
    found.mkdir()
    return found


def log_lines(output: str, event: str) -> list[str]:
    return [line for line in output.splitlines() if event in line]


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (None, "mail.example"),
        ("mail.example", "mail.example"),
        ("unknown.example", "mail.example"),
        ("one.example", "one"),
        ("ONE.example", "one"),
        ("pop.one.example", "one"),
        ("two.example", "two"),
        ("any.wild.example", "wild"),
        ("wild.example", "wild"),
        ("a.b.wild.example", "mail.example"),
        ("stolen.example", "stolen"),
    ],
)
def test_the_name_chooses_the_certificate(
    default: Pair, folder: Path, asked: str | None, served: str
) -> None:
    one = folder / "one.example.crt"
    write(one, one.with_suffix(".key"), "one.example", "pop.one.example", subject="one")
    two = folder / "two.example"
    write(two / "tls.crt", two / "tls.key", "x.example", subject="two")
    wild = folder / "wild.example.crt"
    write(wild, wild.with_suffix(".key"), "*.wild.example", "stolen.example", subject="wild")
    own = folder / "stolen.example.crt"
    write(own, own.with_suffix(".key"), "y.example", subject="stolen")
    assert subject(Certificates(default, folder=folder).context, asked) == served


def test_a_renewed_certificate_is_served_without_a_restart(
    default: Pair, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Certificates(default, clock=clock).context
    write(default.cert, default.key, "mail.example", subject="renewed")
    assert subject(context) == "mail.example"  # not looked at again yet
    clock.advance(EVERY)
    assert subject(context) == "renewed"
    assert len(log_lines(capsys.readouterr().out, "tls.loaded")) == 1


def test_files_behind_links_that_are_changed_as_kubernetes_does(
    default: Pair, folder: Path, clock: FakeClock
) -> None:
    """A mounted secret: tls.crt -> ..data/tls.crt, ..data -> a folder that is replaced whole."""
    mount = folder / "kube.example"
    for version in ("first", "second"):
        files = mount / f"..{version}"
        files.mkdir(parents=True)
        write(files / "tls.crt", files / "tls.key", "kube.example", subject=version)
    (mount / "..data").symlink_to("..first")
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")
    context = Certificates(default, folder=folder, clock=clock).context
    assert subject(context, "kube.example") == "first"
    (mount / "..new").symlink_to("..second")
    os.replace(mount / "..new", mount / "..data")
    clock.advance(EVERY)
    assert subject(context, "kube.example") == "second"


def test_a_new_domain_is_served_and_one_that_left_is_not(
    default: Pair, folder: Path, clock: FakeClock
) -> None:
    context = Certificates(default, folder=folder, clock=clock).context
    new = folder / "new.example.crt"
    write(new, new.with_suffix(".key"), "new.example")
    clock.advance(EVERY)
    assert subject(context, "new.example") == "new.example"
    new.unlink()
    clock.advance(EVERY)
    assert subject(context, "new.example") == "mail.example"


@pytest.mark.parametrize("broken", ["no PEM", "another key", "no key", "no certificate"])
def test_broken_new_files_change_nothing_and_are_told_once(
    default: Pair, tmp_path: Path, clock: FakeClock, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Certificates(default, clock=clock).context
    if broken == "no PEM":
        default.cert.write_text("nonsense")
    elif broken == "another key":
        write(tmp_path / "x", default.key, "mail.example")
    else:
        (default.key if broken == "no key" else default.cert).unlink()
    for _ in range(3):
        clock.advance(EVERY)
        assert subject(context) == "mail.example"
    assert len(log_lines(capsys.readouterr().out, "tls.refused")) == 1
    write(default.cert, default.key, "mail.example", subject="repaired")
    clock.advance(EVERY)
    assert subject(context) == "repaired"


def test_a_broken_pair_of_one_domain_does_not_stop_the_others(
    default: Pair, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.example.crt").write_text("nonsense")
    good = folder / "good.example.crt"
    write(good, good.with_suffix(".key"), "good.example")
    context = Certificates(default, folder=folder).context
    assert subject(context, "good.example") == "good.example"
    assert subject(context, "bad.example") == "mail.example"
    assert len(log_lines(capsys.readouterr().out, "bad.example.crt")) == 1


def test_a_folder_that_goes_away_takes_no_certificate_with_it(
    default: Pair, folder: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    one = folder / "one.example.crt"
    write(one, one.with_suffix(".key"), "one.example")
    context = Certificates(default, folder=folder, clock=clock).context
    shutil.rmtree(folder)
    for _ in range(3):
        clock.advance(EVERY)
        assert subject(context, "one.example") == "one.example"
    assert len(log_lines(capsys.readouterr().out, "tls.refused")) == 1


def test_the_longer_looks_take_the_rarer_they_are(default: Pair) -> None:
    """A folder of thousands must not cost the handshakes more than a share."""
    ticks = itertools.count(0, 0.5)  # each question for the time takes half a second
    certificates = Certificates(default, clock=lambda: next(ticks))
    looks = 0
    for _ in range(100):
        write(default.cert, default.key, "mail.example", subject=f"number {looks}")
        looks += subject(certificates.context) == f"number {looks}"
    assert 1 <= looks <= 4


def settings(cert: Path | None, key: Path | None = None, folder: Path | None = None) -> TlsSettings:
    return TlsSettings(tls_cert=cert, tls_key=key, tls_folder=folder)


def test_what_cannot_work_at_the_start_is_one_clear_error(default: Pair, tmp_path: Path) -> None:
    missing, other = tmp_path / "missing", tmp_path / "other"
    write(tmp_path / "x", other, "mail.example")
    with pytest.raises(BadInput, match=r"No such file or directory: .*missing'$"):
        server_tls(settings(default.cert, missing), [])
    with pytest.raises(BadInput, match=r"other: the key does not belong to the certificate$"):
        server_tls(settings(default.cert, other), [])
    with pytest.raises(BadInput, match=r"TLS_FOLDER: .*missing"):
        server_tls(settings(default.cert, default.key, missing), [])
    with pytest.raises(BadInput, match=r"TLS_FOLDER needs TUBEPOST_TLS_CERT"):
        server_tls(settings(None, None, tmp_path), [])
    write(default.cert, default.key, "mail.example", password=b"secret")
    with pytest.raises(BadInput, match=r"the key has a password; give one without$"):
        server_tls(settings(default.cert, default.key), [])


def test_one_file_may_hold_both_and_none_is_no_tls(default: Pair) -> None:
    assert server_tls(settings(None), []) is None
    default.cert.write_bytes(default.key.read_bytes() + default.cert.read_bytes())
    context = server_tls(settings(default.cert), [])
    assert context
    assert subject(context) == "mail.example"


def test_reading_the_metrics_finds_a_new_certificate(
    default: Pair, folder: Path, clock: FakeClock
) -> None:
    """A host nobody speaks TLS with has handshakes for nobody's sake."""
    certificates = Certificates(default, folder=folder, clock=clock)
    new = folder / "new.example.crt"
    write(new, new.with_suffix(".key"), "new.example")
    clock.advance(EVERY)
    certificates.look()
    assert _expiry("new.example") == EXPIRES.timestamp()
    hooks: list[Callable[[], None]] = []
    server_tls(settings(default.cert, default.key), hooks)
    assert len(hooks) == 1


def _expiry(name: str) -> float | None:
    samples = [s for metric in metrics.CERTIFICATE_EXPIRES.collect() for s in metric.samples]
    return next((s.value for s in samples if s.labels["certificate"] == name), None)


def test_the_metric_has_the_default_and_at_most_twenty_in_all(default: Pair, folder: Path) -> None:
    for number in range(30):
        cert = folder / f"d{number}.example.crt"
        write(cert, cert.with_suffix(".key"), f"d{number}.example")
    Certificates(default, folder=folder)
    [metric] = metrics.CERTIFICATE_EXPIRES.collect()
    assert len(metric.samples) == 20
    assert _expiry(DEFAULT) == EXPIRES.timestamp()


OLD = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]


@pytest.mark.parametrize("version", OLD)
def test_old_clients_are_let_in_by_setting_only(default: Pair, version: ssl.TLSVersion) -> None:
    with_old = Certificates(default, old_clients=True).context
    assert greeted(with_old, client=a_client(version)).version() == version.name.replace("_", ".")
    with pytest.raises(ssl.SSLError):
        greeted(Certificates(default).context, client=a_client(version))


@pytest.mark.parametrize("old_clients", [False, True])
def test_a_modern_client_gets_the_best(default: Pair, old_clients: bool) -> None:
    context = Certificates(default, old_clients=old_clients).context
    assert greeted(context).version() == "TLSv1.3"
    assert greeted(context, client=a_client(ssl.TLSVersion.TLSv1_2)).version() == "TLSv1.2"


def test_no_cipher_without_forward_secrecy_and_no_renegotiation(default: Pair) -> None:
    context = Certificates(default).context
    names = {str(cipher["name"]) for cipher in context.get_ciphers()}
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in names), CIPHERS
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


async def test_a_listener_of_implicit_tls_serves_renewed_ones_too(
    default: Pair, clock: FakeClock
) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = Certificates(default, clock=clock).context
    async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=context) as server:
        write(default.cert, default.key, "mail.example", subject="renewed")
        clock.advance(EVERY)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=a_client())
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert b"renewed" in found
        writer.close()
        await writer.wait_closed()
