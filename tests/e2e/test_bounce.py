"""What a sender hears of a mail: that it failed, is late or was delivered, as far as asked for."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
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


@pytest.fixture
def impatient(platform: Platform) -> Iterator[Platform]:
    """A second is late, and tries come soon."""
    platform.ok("control", "set", "delaywarning", "1")
    platform.ok("control", "set", "retryschedule", "exponential 1 2 10")
    yield platform
    for name in ("delaywarning", "retryschedule"):
        platform.ok("control", "unset", name)


def send(platform: Platform, sender: str, to: list[str], *, mail: str = "", rcpt: str = "") -> None:
    """`mail`, `rcpt`: parameters of MAIL and RCPT."""
    with platform.smtp() as client:
        content = "Subject: hello\r\n\r\nHi Bob.\r\n"
        client.sendmail(sender, to, content, mail.split(), rcpt.split())


def arrived(platform: Platform, mailbox: str, before: set[Path]) -> EmailMessage:
    """The one mail that has come to `mailbox`, once it is there."""
    until(lambda: set(platform.maildir(mailbox)) > before, 30, "the report")
    [file] = set(platform.maildir(mailbox)) - before
    found = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def bounced(
    platform: Platform, sender: str, to: list[str], mailbox: str, *, mail: str = "", rcpt: str = ""
) -> EmailMessage:
    """The one mail that comes to `mailbox` after a mail was sent."""
    before = set(platform.maildir(mailbox))
    send(platform, sender, to, mail=mail, rcpt=rcpt)
    report = arrived(platform, mailbox, before)
    platform.wait_for_empty_queue(20)
    assert len(set(platform.maildir(mailbox)) - before) == 1
    return report


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


def test_the_header_alone_and_the_envelope_s_name_come_back_where_asked_for(
    platform: Platform,
) -> None:
    mail = bounced(
        platform,
        JOE,
        ["bob@far.example"],
        JOE,
        mail="RET=HDRS ENVID=order+2042",
        rcpt="NOTIFY=FAILURE ORCPT=rfc822;Robert@old.example",
    )
    _, status, original = parts(mail)
    assert status.get_payload(0)["Original-Envelope-Id"] == "order 42"
    about_bob = status.get_payload(1)
    assert about_bob["Original-Recipient"] == "rfc822; Robert@old.example"
    assert about_bob["Remote-MTA"] == "dns; [127.0.0.1]"
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: hello" in original.get_payload()
    assert "Hi Bob." not in mail.as_string()


def test_who_wants_to_hear_nothing_hears_nothing(platform: Platform) -> None:
    before = set(platform.maildir(JOE)), set(platform.maildir(POSTMASTER))
    send(platform, JOE, ["bob@far.example"], rcpt="NOTIFY=NEVER")
    until(lambda: '"kind": "unwanted"' in platform.log_tail(), 20, "the end in the log")
    platform.wait_for_empty_queue(20)
    assert (set(platform.maildir(JOE)), set(platform.maildir(POSTMASTER))) == before


@pytest.mark.parametrize(
    ("to", "action"), [("ann@example.org", "delivered"), ("ann@far.example", "relayed")]
)
def test_who_asks_hears_of_success(platform: Platform, to: str, action: str) -> None:
    """The sink offers no DSN: nobody but us can tell."""
    mail = bounced(platform, JOE, [to], JOE, rcpt="NOTIFY=SUCCESS,FAILURE")
    assert mail["Return-Path"] == "<>"
    about_ann = parts(mail)[1].get_payload(1)
    assert (about_ann["Final-Recipient"], about_ann["Action"]) == (f"rfc822; {to}", action)
    assert about_ann["Status"] == "2.0.0"


def test_a_late_mail_is_announced_once_and_then_delivered(impatient: Platform, sink: Sink) -> None:
    platform = impatient
    sink.answers["eve"] = "451 4.7.1 greylisted, come back later"
    before = set(platform.maildir(JOE))
    send(platform, JOE, ["eve@far.example"])
    mail = arrived(platform, JOE, before)
    assert mail["Subject"] == "delay notice"
    about_eve = parts(mail)[1].get_payload(1)
    assert (about_eve["Action"], about_eve["Status"]) == ("delayed", "4.7.1")
    assert about_eve["Will-Retry-Until"]
    del sink.answers["eve"]
    sink.wait_for(1, 30)
    platform.wait_for_empty_queue(20)
    assert len(set(platform.maildir(JOE)) - before) == 1, "announced once"


def test_a_list_s_mail_bounces_to_the_list_and_every_copy_names_its_reader(
    platform: Platform, sink: Sink
) -> None:
    readers = ["ann@far.example", "eve@far.example", "bob@far.example"]
    mail = bounced(platform, "joe@example.org-@[]", readers, JOE)
    assert parts(mail)[1].get_payload(1)["Final-Recipient"] == "rfc822; bob@far.example"
    assert {(m.sender, m.recipients) for m in sink.mails} == {
        ("joeann=far.example@example.org", ("ann@far.example",)),
        ("joeeve=far.example@example.org", ("eve@far.example",)),
    }
