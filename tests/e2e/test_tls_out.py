"""A real Postfix with TLS as the policy wants it, and not so: what arrives, what waits and why."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import postfix as bench_postfix
from bench.postfix import PostfixPeer
from tests.e2e.platform import Platform, until
from tests.remote.authority import Authority

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LEVELS = {
    "may.plain.example": "may",
    "may.bad.example": "may",
    "none.bad.example": "none",
    "encrypt.bad.example": "encrypt",
    "verify.good.example": "verify",
    "named.good.example": "verify:.example.org,127.0.0.1",
    "encrypt.plain.example": "encrypt",
    "verify.plain.example": "verify",
    "verify.bad.example": "verify",
    "misnamed.good.example": "verify:mx.example.org",
}
"""By mail domain; its second label says which of the listeners takes its mail."""

SECURE = ("may.bad.example", "encrypt.bad.example", "verify.good.example", "named.good.example")
CLEAR = ("may.plain.example", "none.bad.example")
REFUSED = {
    "encrypt.plain.example": "it offers no TLS, which its policy here demands. (#4.7.4)",
    "verify.plain.example": "it offers no TLS, which its policy here demands. (#4.7.4)",
    "verify.bad.example": "its certificate is self-signed. (#4.7.5)",
    "misnamed.good.example": "its certificate is for 127.0.0.1, not for mx.example.org. (#4.7.5)",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class ThreeListeners(PostfixPeer):
    """`plain` offers no TLS, `good` and `bad` have such a certificate. Any domain is its own."""

    def __init__(self, folder: Path, ca: Authority) -> None:
        super().__init__(folder, ["joe"], ["virtual_mailbox_domains = static:all"])
        self._good, self._bad = ca.sign("127.0.0.1"), ca.sign("127.0.0.1", alone=True)
        self.ports = {name: free_port() for name in ("plain", "good", "bad")}

    def _write_configuration(self) -> None:
        super()._write_configuration()
        may = "-o smtpd_tls_security_level=may -o smtpd_tls_received_header=yes"
        options = {
            "plain": "-o smtpd_tls_security_level=none",
            "good": f"{may} -o smtpd_tls_chain_files={self._good}",
            "bad": f"{may} -o smtpd_tls_chain_files={self._bad}",
        }
        with (self.folder / "etc/master.cf").open("a") as file:
            for name, option in options.items():
                file.write(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {option}\n")
        with (self.folder / "etc/main.cf").open("a") as file:
            file.write("virtual_mailbox_maps = static:joe/\n")

    def received(self, subject: str) -> bytes:
        """The mail, b"" while it is not there."""
        files = list((self.folder / "mail").rglob("new/*"))
        wanted = f"Subject: {subject}\n".encode()
        return next((mail for mail in map(Path.read_bytes, files) if wanted in mail), b"")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def postfix(ca: Authority) -> Iterator[ThreeListeners]:
    """Not below pytest's folder: another pytest that begins closes that to Postfix's users."""
    bench_postfix.install_if_missing()
    with tempfile.TemporaryDirectory(prefix="postfix-") as name:
        Path(name).chmod(0o755)
        peer = ThreeListeners(Path(name), ca)
        try:
            peer.start()
            yield peer
        finally:
            peer.stop()


@pytest.fixture(scope="module")
def mail(
    ca: Authority, postfix: ThreeListeners, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform that has sent one mail to each domain; its subject is the domain."""
    platform = Platform(tmp_path_factory.mktemp("tls") / "data", "--processes")
    platform.environment["TUBEPOST_CA_FILE"] = str(ca.file)
    ports = {domain: postfix.ports[domain.split(".")[1]] for domain in LEVELS}
    try:
        platform.start()
        platform.ok("control", "set", "rcpthosts", *LEVELS)
        platform.ok("control", "set", "tlspolicy", *(f"{d}:{p}" for d, p in LEVELS.items()))
        routes = (f"{domain}:127.0.0.1:{port}" for domain, port in ports.items())
        platform.ok("control", "set", "smtproutes", *routes)
        with platform.smtp() as client:
            for domain in LEVELS:
                text = f"Subject: {domain}\r\n\r\nHi.\r\n"
                client.sendmail("s@client.example", f"joe@{domain}", text)
        yield platform
        assert platform.stop() == 0
    finally:
        platform.release()


@pytest.mark.parametrize("domain", [*SECURE, *CLEAR])
def test_it_arrives(mail: Platform, postfix: ThreeListeners, domain: str) -> None:
    until(lambda: bool(postfix.received(domain)), 60, f"the mail to {domain}")
    secure = b" with ESMTPS " in postfix.received(domain)
    assert secure is (domain in SECURE)


@pytest.mark.parametrize("domain", REFUSED)
def test_it_waits_and_says_why(mail: Platform, postfix: ThreeListeners, domain: str) -> None:
    def recipient() -> dict[str, Any]:
        found = {r["address"]: r for m in mail.json("qread") for r in m["recipients"]}
        waiting: dict[str, Any] = found[f"joe@{domain}"]
        return waiting

    until(lambda: recipient()["attempts"] > 0, 60, f"the deferral of {domain}")
    assert recipient()["reply"] == f"Connected to 127.0.0.1 but {REFUSED[domain]}"
    assert not postfix.received(domain)
