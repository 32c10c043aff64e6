"""`sendmail` as programs call it: what arrives, octet for octet, and what they are told."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.platform import Platform, until
from tubepost.mail_header import parts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

BIN = Path(sys.executable).parent
ANN, JOE = "ann@example.org", "joe@example.org"
MAIL = b"To: ann@example.org\nBcc: joe@example.org\nSubject: \xe9\n\nline\n.\nafter\n"


@pytest.fixture(autouse=True)
def _no_mail_of_others(shared: Platform) -> None:
    for address in (ANN, JOE):
        for file in shared.maildir(address):
            file.unlink()


def run(
    platform: Platform,
    *arguments: str,
    stdin: bytes = b"",
    program: str = "sendmail",
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[bytes]":
    variables = {
        "TUBEPOST_ADMIN": "http://" + (platform.data / "admin").read_text().strip(),
        "TUBEPOST_TOKEN": (platform.data / "token").read_text().strip(),
        "QMAILUSER": "cron",
        "QMAILHOST": "app.example",
        **(environment or {}),
    }
    return subprocess.run(
        [str(BIN / program), *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | variables,
    )


def arrived(platform: Platform, address: str) -> bytes:
    """The one new mail, which is taken away."""
    until(lambda: bool(platform.maildir(address)), 30, f"a mail for {address}")
    [file] = platform.maildir(address)
    content = file.read_bytes()
    file.unlink()
    return content


def quiet(done: "subprocess.CompletedProcess[bytes]") -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_as_php_calls_it(shared: Platform) -> None:
    quiet(run(shared, "-t", "-i", stdin=MAIL))
    mails = [arrived(shared, ANN), arrived(shared, JOE)]
    for mail in mails:
        found = parts(mail)
        assert found.body == b"line\n.\nafter\n"
        assert b"Return-Path: <cron@app.example>\n" in mail
        assert b"\nFrom: cron@app.example\n" in mail
        assert b"\nTo: ann@example.org\nSubject: \xe9\n" in mail
        assert b"joe" not in mail.replace(b"Delivered-To: joe@example.org", b"")


def test_as_cron_calls_it(shared: Platform) -> None:
    """Its recipient has no domain."""
    line = ("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "ann")
    host = {"QMAILHOST": "example.org"}
    quiet(run(shared, *line, stdin=b"Subject: out\n\nhi\n", environment=host))
    mail = arrived(shared, ANN)
    assert b'\nFrom: "CronDaemon" <cron@example.org>\n' in mail
    assert b"\nCc: recipient list not shown: ;\n" in mail


def test_without_i_a_dot_ends_it_and_f_is_the_sender(shared: Platform) -> None:
    quiet(run(shared, "-f", "boss@far.example", ANN, stdin=MAIL))
    mail = arrived(shared, ANN)
    assert parts(mail).body == b"line\n"
    assert b"Return-Path: <boss@far.example>\n" in mail
    assert not shared.maildir(JOE)


def test_the_null_sender(shared: Platform) -> None:
    quiet(run(shared, "-i", "-f", "<>", ANN, stdin=b"\nhi\n"))
    assert b"Return-Path: <>\n" in arrived(shared, ANN)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "text"),
    [
        (("-bd",), b"", 64, b"sendmail: -bd is not for this sendmail"),
        ((), b"hi\n", 64, b"sendmail: say who gets the mail"),
        (("-t",), b"Subject: s\n\nhi\n", 65, b"sendmail: no recipients"),
        (("-t",), b"To: a@b.c d@e.f\n\nhi\n", 65, b"sendmail: cannot read the addresses in"),
        (
            ("nobody@example.org",),
            b"\nhi\n",
            65,
            b"sendmail: nobody@example.org: Sorry, no mailbox",
        ),
        ((ANN,), b"a\rb\n", 65, b"sendmail: the mail has a CR that ends no line"),
    ],
)
def test_what_is_refused(
    shared: Platform, arguments: tuple[str, ...], stdin: bytes, code: int, text: bytes
) -> None:
    done = run(shared, *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.startswith(text)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("variables", "code"),
    [({"TUBEPOST_TOKEN": "wrong"}, 77), ({"TUBEPOST_ADMIN": "http://127.0.0.1:1"}, 75)],
)
def test_no_right_and_no_platform(shared: Platform, variables: dict[str, str], code: int) -> None:
    done = run(shared, ANN, stdin=b"\nhi\n", environment=variables)
    assert (done.returncode, done.stderr.count(b"\n")) == (code, 1)


def test_smtp_on_standard_input(shared: Platform) -> None:
    script = (
        b"EHLO app\r\nMAIL FROM:<boss@far.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n"
        b"Subject: s\r\n\r\n..x\r\n.\r\n"
        b"MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n\r\nhi\r\n.\r\n"
        b"DATA\r\nFOO\r\nQUIT\r\n"
    )
    done = run(shared, "-bs", stdin=script)
    codes = b" ".join(line[:4] for line in done.stdout.split(b"\r\n"))
    assert done.returncode == 0
    wanted = "220 250- 250- 250- 250 250 250 354 250 250 250 354 554 503 502 221"
    assert " ".join(codes.decode().split()) == wanted
    assert parts(arrived(shared, ANN)).body == b".x\n"


def test_mailq_is_qread_and_newaliases_says_what_to_use(shared: Platform) -> None:
    found = run(shared, program="mailq")
    assert (found.returncode, found.stdout) == (0, b"")
    done = run(shared, program="newaliases")
    assert (done.returncode, done.stderr.count(b"\n")) == (64, 1)
    assert b"tubepost alias" in done.stderr
