"""Real mail programs against every listener, with every mechanism: what they send arrives.

smtplib, swaks and msmtp as users' programs, Postfix as another host. Each says something unlike the
others: when to begin TLS, whether AUTH has an initial response, what is pipelined.
"""

import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from itertools import product
from pathlib import Path

import pytest

from bench import postfix as bench_postfix
from tests.e2e.platform import PASSWORD, Platform, until
from tests.e2e.sink import Sink
from tests.e2e.tools import require

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

USER = "joe@example.org"
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
USERS_LISTENERS = ("submission", "submissions")
LOGINS = [*product(USERS_LISTENERS, MECHANISMS)]


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """joe may log in with each mechanism; ann gets mail."""
    platform = Platform(tmp_path_factory.mktemp("clients") / "data", "--processes")
    try:
        platform.start().with_accounts("joe", "ann")
        secret = PASSWORD.encode() + b"\n"
        platform.ok("account", "passwd", USER, "--reversible", "--password-stdin", stdin=secret)
        platform.ok("control", "set", "authmechanisms", *(m.lower() for m in MECHANISMS))
        platform.ok("control", "set", "authdelay", "0")
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.fixture
def away(mail: Platform, sink: Sink) -> Sink:
    """The host of far.example: only who may relay gets mail there."""
    mail.ok("control", "set", "smtproutes", sink.route("far.example"))
    return sink


def trusting(mail: Platform) -> ssl.SSLContext:
    """Believes the platform's own certificate and nothing else."""
    return ssl.create_default_context(cafile=str(mail.data / "tls.crt"))


def message(subject: str, to: str = "ann@far.example") -> EmailMessage:
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = USER, to, subject
    found.set_content("Hi.\n.\nA line with a dot alone stood above.\n")
    return found


def arrived(sink: Sink, subject: str) -> str:
    """The header of the mail that the sink got."""
    [got] = [m for m in sink.wait_for(1, 30) if f"Subject: {subject}".encode() in m.body]
    assert b"\r\n.\r\nA line with a dot alone" in got.body.replace(b"\r\n..\r\n", b"\r\n.\r\n")
    return got.body.decode().partition("\r\n\r\n")[0]


# --- users' programs


@pytest.mark.parametrize(("listener", "mechanism"), LOGINS)
def test_smtplib(mail: Platform, away: Sink, listener: str, mechanism: str) -> None:
    _, port = mail.addresses[listener]
    client: smtplib.SMTP
    if listener == "submissions":
        client = smtplib.SMTP_SSL("localhost", port, context=trusting(mail), timeout=30)
    else:
        client = smtplib.SMTP("localhost", port, timeout=30)
        client.starttls(context=trusting(mail))
    with client:
        client.ehlo()
        client.user, client.password = USER, PASSWORD
        authenticate = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
        code, _ = client.auth(mechanism, authenticate)
        assert code == 235
        client.send_message(message(f"smtplib {listener} {mechanism}"))
    header = arrived(away, f"smtplib {listener} {mechanism}")
    assert " with ESMTPSA " in header
    assert f"({USER}@127.0.0.1)" in header or f"({USER}@::1)" in header


@pytest.mark.parametrize(("listener", "mechanism"), LOGINS)
def test_swaks(mail: Platform, away: Sink, listener: str, mechanism: str) -> None:
    swaks = require("swaks", "swaks")
    host, port = mail.addresses[listener]
    subject = f"swaks {listener} {mechanism}"
    tls = "--tlsc" if listener == "submissions" else "--tls"
    login = ["--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD]
    envelope = ["--from", USER, "--to", "ann@far.example", "--header", f"Subject: {subject}"]
    body = ["--body", "Hi.\n.\nA line with a dot alone stood above."]
    command = [swaks, "--server", f"{host}:{port}", tls, *login, *envelope, *body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert f"AUTH {mechanism}" in done.stdout
    arrived(away, subject)


@pytest.mark.parametrize(("listener", "mechanism"), LOGINS)
def test_msmtp(mail: Platform, away: Sink, tmp_path: Path, listener: str, mechanism: str) -> None:
    msmtp = require("msmtp", "msmtp")
    _, port = mail.addresses[listener]
    settings = {
        "account": "default",
        "host": "127.0.0.1",
        "port": str(port),
        "from": USER,
        "auth": mechanism.lower(),
        "user": USER,
        "password": PASSWORD,
        "tls": "on",
        "tls_starttls": "off" if listener == "submissions" else "on",
        "tls_trust_file": str(mail.data / "tls.crt"),
        "tls_host_override": "localhost",
    }
    config = tmp_path / "msmtprc"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    config.chmod(0o600)
    subject = f"msmtp {listener} {mechanism}"
    done = subprocess.run(
        [msmtp, "-C", str(config), "-v", "ann@far.example"],
        input=message(subject).as_bytes(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    arrived(away, subject)


def test_a_wrong_password_opens_nothing(mail: Platform, away: Sink) -> None:
    swaks = require("swaks", "swaks")
    host, port = mail.addresses["submission"]
    login = ["--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong horse"]
    command = [swaks, "--server", f"{host}:{port}", "--tls", *login, "--to", "ann@far.example"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 28  # swaks: AUTH failed
    assert " 535 " in done.stdout
    assert away.mails == []


# --- other hosts


@pytest.mark.parametrize("tls", [False, True])
def test_smtplib_as_another_host(mail: Platform, tls: bool) -> None:
    subject = f"from another host {tls}"
    with mail.smtp() as client:
        if tls:
            client._host = "localhost"  # type: ignore[attr-defined]  # the name to be proven
            client.starttls(context=trusting(mail))
        client.send_message(message(subject, "ann@example.org"), "x@far.example")
        code, text = client.docmd("MAIL FROM:<x@far.example>")
        assert code == 250
        code, text = client.docmd("RCPT TO:<victim@elsewhere.example>")
        assert (code, b"allowed rcpthosts" in text) == (553, True)
    _delivered(mail, subject)


@pytest.fixture(scope="module")
def postfix(mail: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Postfix that sends all its mail to the platform's MX listener; its own SMTP port."""
    bench_postfix.install_if_missing()
    folder = tmp_path_factory.mktemp("postfix")
    folder.chmod(0o755)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    host, port = mail.addresses["smtp"]
    settings = [
        f"relayhost = [{host}]:{port}",
        "smtp_tls_security_level = may",
        "smtp_tls_loglevel = 1",
        "smtputf8_enable = yes",
    ]
    peer = bench_postfix.PostfixPeer(folder, [], settings)
    try:
        peer.start()
        yield peer.port
    finally:
        peer.stop()


def test_postfix_hands_its_mail_over(mail: Platform, postfix: int) -> None:
    before = len(mail.maildir("ann@example.org"))
    with smtplib.SMTP("127.0.0.1", postfix, timeout=30) as client:
        for number in range(20):
            client.send_message(message(f"postfix {number}", "ann@example.org"), "x@far.example")
    until(lambda: len(mail.maildir("ann@example.org")) == before + 20, 60, "all mails")
    _delivered(mail, "postfix 19")
    newest = max(mail.maildir("ann@example.org"), key=lambda path: path.stat().st_mtime)
    assert b" with ESMTPS " in newest.read_bytes()


def _delivered(mail: Platform, subject: str) -> None:
    def there() -> bool:
        wanted = f"Subject: {subject}\n".encode()
        return any(wanted in path.read_bytes() for path in mail.maildir("ann@example.org"))

    until(there, 30, f"the mail {subject!r}")
