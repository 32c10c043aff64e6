"""Behind a real load balancer: HAProxy speaks PROXY v1 and v2 to a listener that expects it.

What rules is the address of the client of the balancer, never the balancer's own.
"""

import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.platform import Address, Platform, until
from tests.e2e.tools import require

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CONFIG = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen mail
  bind 127.0.0.1:{own}
  server smtpd 127.0.0.1:{port} {proxy}
"""

Balance = Callable[[str], Address]


@contextmanager
def haproxy(folder: Path, port: int, proxy: str) -> Iterator[Address]:
    """A balancer before a port; where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:  # HAProxy wants a number
        own = int(probe.getsockname()[1])
    config = folder / f"{proxy}.cfg"
    config.write_text(CONFIG.format(own=own, port=port, proxy=proxy))
    program = require("haproxy", "haproxy")
    with subprocess.Popen([program, "-db", "-f", str(config)]) as process:
        try:
            until(lambda: _greets(own), 20, "HAProxy")
            yield "127.0.0.1", own
        finally:
            process.terminate()


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=10):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Its MX listener expects PROXY from 127.0.0.0/8; clients from 127.0.0.9 may relay."""
    platform = Platform(tmp_path_factory.mktemp("balanced") / "data", "--processes")
    platform.environment = {"TUBEPOST_LISTENERS": "balanced=mx:127.0.0.1:0,proxy"}
    try:
        platform.start().with_accounts("ann")
        platform.ok("control", "set", "proxynetworks", "127.0.0.1")
        platform.ok(
            "control", "set", "tcprules", '127.0.0.9:allow,RELAYCLIENT=""', "127.0.0.3:deny"
        )
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.fixture(params=["send-proxy", "send-proxy-v2"])
def balanced(mail: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Address]:
    with ExitStack() as stack:
        _, port = mail.addresses["balanced"]
        yield stack.enter_context(haproxy(tmp_path, port, request.param))


def recipient_answer(at: Address, client: str, recipient: str) -> int:
    with smtplib.SMTP(*at, source_address=(client, 0), timeout=20) as session:
        session.ehlo("client.example")
        session.mail("x@far.example")
        return session.rcpt(recipient)[0]


def test_the_client_s_own_address_decides(mail: Platform, balanced: Address) -> None:
    assert recipient_answer(balanced, "127.0.0.9", "joe@elsewhere.example") == 250
    assert recipient_answer(balanced, "127.0.0.1", "joe@elsewhere.example") == 553
    with pytest.raises(smtplib.SMTPException):
        recipient_answer(balanced, "127.0.0.3", "ann@example.org")


def test_it_stands_in_received(mail: Platform, balanced: Address) -> None:
    before = set(mail.maildir("ann@example.org"))
    with smtplib.SMTP(*balanced, source_address=("127.0.0.9", 0), timeout=20) as session:
        session.sendmail("x@far.example", "ann@example.org", "Subject: x\r\n\r\nHi.\r\n")
    until(lambda: len(mail.maildir("ann@example.org")) == len(before) + 1, 30, "the mail")
    [new] = set(mail.maildir("ann@example.org")) - before
    assert b"(127.0.0.9)" in new.read_bytes()


def test_a_header_from_a_stranger_is_refused(mail: Platform) -> None:
    """On the balanced listener from an address nobody trusts, and on a plain one from anywhere."""
    swaks = require("swaks", "swaks")
    for listener, client in (("balanced", "127.0.0.77"), ("smtp", "127.0.0.1")):
        host, port = mail.addresses[listener]
        pretended = ["--proxy", f"TCP4 127.0.0.9 {host} 4000 25"]
        command = [swaks, "--server", f"{host}:{port}", "--local-interface", client, *pretended]
        done = subprocess.run(
            [*command, "--to", "joe@elsewhere.example"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        assert " 250 " not in done.stdout.partition("RCPT")[2]
