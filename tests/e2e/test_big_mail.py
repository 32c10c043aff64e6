"""A mail of 60 MiB, beyond databytes' default: in chunks, whole, to a mailbox and to a host."""

import hashlib
import smtplib

import pytest

from tests.e2e.platform import NewPlatform, until
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ANN, FAR = "ann@example.org", "eve@far.example"
LINE = b"0123456789abcdef" * 60 + b"\r\n"
BODY = b"Subject: big\r\n\r\n" + LINE * (60 * 2**20 // len(LINE))


def test_a_mail_beyond_the_default_limit_arrives_whole(
    new_platform: NewPlatform, sink: Sink
) -> None:
    platform = new_platform("--processes").start().with_accounts("ann")
    platform.ok("control", "set", "rcpthosts", "far.example")
    platform.ok("control", "set", "smtproutes", sink.route("far.example"))
    with platform.smtp() as client, pytest.raises(smtplib.SMTPSenderRefused) as refused:
        client.sendmail("joe@far.example", [ANN], BODY)
    assert refused.value.smtp_code == 552
    platform.ok("control", "set", "databytes", "104857600")
    with platform.smtp() as client:
        client.timeout = 120
        assert client.sendmail("joe@far.example", [ANN, FAR], BODY) == {}
    until(lambda: len(platform.maildir(ANN)) == len(sink.mails) == 1, 120, "both copies")
    stored = platform.maildir(ANN)[0].read_bytes()
    for copy in (sink.mails[0].body, stored.replace(b"\n", b"\r\n")):
        assert digest(copy[-len(BODY) :]) == digest(BODY)
    platform.wait_for_empty_queue(30)
    assert platform.stop() == 0


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
