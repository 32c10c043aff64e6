"""Postfix as the other host: with TLS and without, and with each of its extensions off in turn."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench import postfix as bench_postfix
from bench.peers import DOMAIN
from bench.postfix import PostfixPeer
from tests.e2e.platform import until
from tests.e2e.real_peers import free_port
from tests.remote.attempts import Attempts
from tests.remote.smtp_peer import server_context
from tubepost.delivery import Mail
from tubepost.outcome import Delivered, Failed, Outcome
from tubepost.record import Wish
from tubepost.subjects import Key

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

JOE, ANN, NOBODY = f"joe@{DOMAIN}", f"ann@{DOMAIN}", f"nobody-here@{DOMAIN}"
KEYWORDS = ("pipelining", "size", "8bitmime", "dsn", "smtputf8", "starttls", "chunking")
OFF = {name: f"smtpd_discard_ehlo_keywords={name}" for name in KEYWORDS}
LISTENERS = OFF | {
    "whole": "smtpd_tls_security_level=may",
    "bare": f"smtpd_discard_ehlo_keywords={','.join(KEYWORDS)}",
    "encrypted only": "smtpd_tls_security_level=encrypt",
    "TLS 1.2 only": "smtpd_tls_protocols=TLSv1.2",
    "old TLS only": "smtpd_tls_protocols=<=TLSv1.1",
}
WIRE = Mail(Key(0, "m1", "0"), "", (JOE,), "[127.0.0.1]", b"", 1, 0.0)


class ManyPostfix(PostfixPeer):
    """A port for each of LISTENERS."""

    ports: dict[str, int]

    def _write_configuration(self) -> None:
        super()._write_configuration()
        self.ports = {name: free_port() for name in LISTENERS}
        with (self.folder / "etc/master.cf").open("a") as file:
            for name, option in LISTENERS.items():
                file.write(f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd\n  -o {option}\n")


@dataclass(frozen=True)
class Host:
    """Postfix, and what has come for joe and ann."""

    peer: ManyPostfix

    async def deliver(self, listener: str, mail: Mail) -> dict[str, Outcome]:
        async with Attempts(self.peer.ports[listener]) as attempts:
            return await attempts.deliver(mail)

    def mailbox(self, address: str) -> dict[str, bytes]:
        """Subject -> mail."""
        folder = self.peer.maildir(address.partition("@")[0])
        assert folder
        mails = [path.read_bytes() for path in folder.iterdir()]
        return {_subject(mail): mail for mail in mails}

    def arrived(self, address: str, subject: str) -> bytes:
        until(lambda: subject in self.mailbox(address), 30, f"the mail {subject!r}")
        return self.mailbox(address)[subject]


def _subject(mail: bytes) -> str:
    return mail.partition(b"\nSubject: ")[2].partition(b"\n")[0].decode()


def text(subject: str, rest: bytes = b"Hi.\r\n.\r\n..two\r\n") -> bytes:
    return f"From: s@example.org\r\nSubject: {subject}\r\n\r\n".encode() + rest


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    bench_postfix.install_if_missing()
    folder = tmp_path_factory.mktemp("postfix")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    pem = _certificate(folder)
    settings = [
        f"smtpd_tls_cert_file = {pem}",
        f"smtpd_tls_key_file = {pem}",
        "smtpd_tls_received_header = yes",
        "smtpd_tls_security_level = may",
        "smtputf8_enable = yes",
        "message_size_limit = 100000",
        "mailbox_size_limit = 0",
        "virtual_mailbox_limit = 0",
    ]
    peer = ManyPostfix(folder, ["joe", "ann"], settings)
    try:
        peer.start()
        yield Host(peer)
    finally:
        peer.stop()


def _certificate(folder: Path) -> Path:
    server_context(folder)
    return folder / "peer.pem"


@pytest.mark.parametrize("listener", LISTENERS)
async def test_a_mail_arrives_as_it_was(host: Host, listener: str) -> None:
    eight_bit = "Grüße.\r\n.\r\n..two\r\n".encode() + b"y" * 900 + b"\r\n"
    mail = replace(WIRE, recipients=(JOE, ANN), body=text(f"to {listener}", eight_bit))
    outcomes = await host.deliver(listener, mail)
    assert {type(outcome) for outcome in outcomes.values()} == {Delivered}, outcomes
    for address in (JOE, ANN):
        got = host.arrived(address, f"to {listener}")
        assert got.endswith(b"\n\n" + eight_bit.replace(b"\r\n", b"\n"))
        secure = listener not in ("starttls", "bare", "old TLS only")
        assert (b" with ESMTPS " in got) == secure
        assert (b"using TLSv1.2 with cipher" in got) == (listener == "TLS 1.2 only")


@pytest.mark.parametrize("listener", ["whole", "pipelining", "bare"])
async def test_one_of_two_is_unknown(host: Host, listener: str) -> None:
    mail = replace(WIRE, recipients=(NOBODY, JOE), body=text(f"half to {listener}"))
    outcomes = await host.deliver(listener, mail)
    refused, taken = outcomes[NOBODY], outcomes[JOE]
    assert isinstance(taken, Delivered)
    assert isinstance(refused, Failed)
    assert (refused.status, refused.reply[:10]) == ("5.1.1", "550 5.1.1 ")
    host.arrived(JOE, f"half to {listener}")


@pytest.mark.parametrize("listener", ["whole", "pipelining", "bare"])
async def test_nobody_is_known(host: Host, listener: str) -> None:
    mail = replace(WIRE, recipients=(NOBODY,), body=text("to nobody"))
    outcome = (await host.deliver(listener, mail))[NOBODY]
    assert isinstance(outcome, Failed)
    assert outcome.status == "5.1.1"


@pytest.mark.parametrize("listener", ["whole", "size", "bare"])
async def test_a_mail_that_is_too_big(host: Host, listener: str) -> None:
    mail = replace(WIRE, body=text("too big", b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000))
    outcome = (await host.deliver(listener, mail))[JOE]
    assert isinstance(outcome, Failed)
    assert outcome.status in {"5.3.4", "5.2.3"}


@pytest.mark.parametrize("listener", ["whole", "dsn", "bare"])
async def test_who_tells_the_sender(host: Host, listener: str) -> None:
    wishes = {JOE: Wish("SUCCESS", "rfc822;joseph@far.example")}
    body, envid = text(f"dsn {listener}"), f"{listener}+3D1"
    mail = replace(WIRE, sender=ANN, wishes=wishes, ret="HDRS", envid=envid, body=body)
    outcome = (await host.deliver(listener, mail))[JOE]
    assert isinstance(outcome, Delivered)
    assert outcome.reports == (listener == "whole")
    host.arrived(JOE, f"dsn {listener}")
    if outcome.reports:
        report = host.arrived(ANN, "Successful Mail Delivery Report")
        assert b"\nOriginal-Envelope-Id: whole=1\n" in report
        assert b"\nOriginal-Recipient: rfc822;joseph@far.example\n" in report


@pytest.mark.parametrize("listener", ["whole", "smtputf8", "bare"])
async def test_an_address_beyond_ascii(host: Host, listener: str) -> None:
    sender, body = f"josé@{DOMAIN}", text(f"utf8 {listener}", b"Hi.\r\n")
    mail = replace(WIRE, sender=sender, smtputf8=True, body=body)
    outcome = (await host.deliver(listener, mail))[JOE]
    if listener == "whole":
        assert isinstance(outcome, Delivered)
        assert f"Return-Path: <{sender}>".encode() in host.arrived(JOE, f"utf8 {listener}")
    else:
        assert isinstance(outcome, Failed)
        assert outcome.status == "5.6.7"


async def test_many_mails_one_after_another(host: Host) -> None:
    async with Attempts(host.peer.ports["whole"]) as attempts:
        for number in range(20):
            mail = replace(WIRE, body=text(f"series {number}"))
            assert isinstance((await attempts.deliver(mail))[JOE], Delivered)
    for number in range(20):
        host.arrived(JOE, f"series {number}")
