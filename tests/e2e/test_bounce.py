"""A mail that is refused for good: its sender hears of it, or else the postmaster."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from tests.e2e.platform import Platform, until
from tests.e2e.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

REPLY = "550 5.1.1 there is no bob here"
JOE, POSTMASTER = "joe@example.org", "postmaster@example.org"


@pytest.fixture
def platform(shared: Platform, sink: Sink) -> Iterator[Platform]:
    """The sink has no bob."""
    sink.answers["bob"] = REPLY
    shared.ok("control", "set", "rcpthosts", "far.example")
    shared.ok("control", "set", "smtproutes", sink.route("far.example"))
    shared.ok("control", "set", "doublebounceto", POSTMASTER)
    yield shared
    for name in ("rcpthosts", "smtproutes", "doublebounceto"):
        shared.ok("control", "unset", name)


def bounced(platform: Platform, sender: str, to: list[str], mailbox: str) -> EmailMessage:
    """The one mail that comes to `mailbox` after a mail was sent."""
    before = set(platform.maildir(mailbox))
    with platform.smtp() as client:
        client.sendmail(sender, to, "Subject: hello\r\n\r\nHi Bob.\r\n")
    until(lambda: set(platform.maildir(mailbox)) > before, 30, "the bounce")
    platform.wait_for_empty_queue(20)
    [file] = set(platform.maildir(mailbox)) - before
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def parts(mail: EmailMessage) -> list[Any]:
    return list(mail.iter_parts())


def test_the_sender_gets_a_report_with_the_reply(platform: Platform, sink: Sink) -> None:
    mail = bounced(platform, JOE, ["bob@far.example", "ann@far.example"], JOE)
    assert mail["Return-Path"] == "<>"
    assert mail.get_content_type() == "multipart/report"
    text, status, original = parts(mail)
    assert "<bob@far.example>:\n" in text.get_content()
    assert REPLY in text.get_content()
    about_bob = status.get_payload(1)
    assert about_bob["Final-Recipient"] == "rfc822; bob@far.example"
    assert about_bob["Status"] == "5.1.1"
    assert REPLY in about_bob["Diagnostic-Code"]
    assert len(status.get_payload()) == 2, "ann has her mail: nothing about her"
    assert original.get_payload(0)["Subject"] == "hello"
    assert [m.recipients for m in sink.mails] == [("ann@far.example",)]


def test_a_mail_without_a_sender_goes_to_the_postmaster(platform: Platform) -> None:
    mail = bounced(platform, "", ["bob@far.example"], POSTMASTER)
    assert mail["Return-Path"] == "<#@[]>"
    assert mail.get_content_type() == "multipart/report"
    assert parts(mail)[1].get_payload(1)["Final-Recipient"] == "rfc822; bob@far.example"
