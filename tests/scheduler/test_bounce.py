"""Bounces, read back with the library's mail parser: RFC 3462, RFC 3464, qmail's double bounce."""

from email import message_from_bytes, policy
from email.message import EmailMessage, Message

import pytest

from services.scheduler import bounce
from tubepost.record import Fate, Recipient

SENDER, ME = "joe@example.org", "mail.example.org"
ORIGINAL = b"Received: from unknown\r\nSubject: hello\r\n\r\nHi Ann.\r\n.\r\n..dots\r\n"
FAILED = (
    Recipient("ann@far.example", Fate.FAILED, "550 no such user/go away", "5.1.1"),
    Recipient("bob@far.example", Fate.FAILED, "timed out", "4.4.1"),
    Recipient("eve@far.example", Fate.FAILED, "unknown", ""),
)


def built(original: bytes = ORIGINAL, failed: tuple[Recipient, ...] = FAILED) -> bytes:
    return bounce.build(
        to=SENDER,
        bounce_from=f"MAILER-DAEMON@{ME}",
        me=ME,
        mail_id="0123abc",
        failed=failed,
        original=original,
        original_sender=SENDER,
        arrived=1_700_000_000.0,
        now=1_700_000_400.0,
    )


def parsed(content: bytes) -> EmailMessage:
    found = message_from_bytes(content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert [p.defects for p in found.walk() if p.defects] == []
    return found


def parts(mail: EmailMessage) -> list[Message]:
    found = mail.get_payload()
    assert isinstance(found, list)
    return found  # type: ignore[return-value]


def blocks(mail: EmailMessage) -> list[Message]:
    """Of the delivery status: one for the mail, one for each recipient."""
    found = parts(mail)[1].get_payload()
    assert isinstance(found, list)
    return found  # type: ignore[return-value]


def test_the_header_says_what_it_is() -> None:
    mail = parsed(built())
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert mail["From"] == "MAILER-DAEMON@mail.example.org"
    assert mail["To"] == "joe@example.org"
    assert mail["Subject"] == "failure notice"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["Date"].datetime.timestamp() == 1_700_000_400
    assert mail["Message-ID"].endswith("@mail.example.org>")


def test_it_has_a_text_a_status_and_the_original() -> None:
    types = [part.get_content_type() for part in parts(parsed(built()))]
    assert types == ["text/plain", "message/delivery-status", "message/rfc822"]


def test_the_text_names_each_dead_recipient_and_the_reply() -> None:
    text = str(parts(parsed(built()))[0].get_payload())
    assert "mail.example.org" in text
    for recipient in FAILED:
        assert f"<{recipient.address}>:\r\n{recipient.reply}\r\n" in text


def test_the_status_has_a_block_for_the_mail_and_one_for_each_recipient() -> None:
    of_mail, *of_recipients = blocks(parsed(built()))
    assert of_mail["Reporting-MTA"] == "dns; mail.example.org"
    assert of_mail["X-Queue-ID"] == "0123abc"
    found = [(b["Final-Recipient"], b["Action"], b["Status"]) for b in of_recipients]
    assert found == [
        ("rfc822; ann@far.example", "failed", "5.1.1"),
        ("rfc822; bob@far.example", "failed", "5.4.1"),
        ("rfc822; eve@far.example", "failed", "5.0.0"),
    ]
    assert of_recipients[0]["Diagnostic-Code"] == "x-tubepost; 550 no such user/go away"


def test_the_original_comes_back_octet_for_octet_behind_its_return_path() -> None:
    assert b"\r\n\r\nReturn-Path: <joe@example.org>\r\n" + ORIGINAL + b"\r\n--=_" in built()
    inner = parts(parsed(built()))[2].get_payload(0)
    assert isinstance(inner, EmailMessage)
    assert inner["Subject"] == "hello"


@pytest.mark.parametrize("octets", [bounce.MAX_RETURNED, bounce.MAX_RETURNED + 1])
def test_a_big_original_comes_back_as_its_header(octets: int) -> None:
    header = b"Subject: big\r\n"
    original = header + b"\r\n" + b"x" * (octets - len(header) - 4) + b"\r\n"
    assert len(original) == octets
    last = parts(parsed(built(original)))[2]
    if octets <= bounce.MAX_RETURNED:
        assert last.get_content_type() == "message/rfc822"
        return
    assert last.get_content_type() == "text/rfc822-headers"
    assert last.get_payload() == "Return-Path: <joe@example.org>\r\nSubject: big\r\n"


def test_a_bounce_stays_small_where_the_header_is_the_big_part() -> None:
    original = b"X-Filler: x\r\n" * 500_000 + b"\r\nhello\r\n"
    assert len(built(original)) < 2 * bounce.MAX_RETURNED


def test_the_whole_declares_8bit_where_a_part_is() -> None:
    mail = parsed(built(b"Subject: x\r\n\r\nGr\xfc\xdfe\r\n"))
    assert mail["Content-Transfer-Encoding"] == "8bit"


def test_an_8bit_original_is_declared_and_kept() -> None:
    original = b"Subject: x\r\n\r\nGr\xfc\xdfe \xff\x00\r\n"
    content = built(original)
    assert original in content
    last = parts(parsed(content))[2]
    assert last["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize("original", [ORIGINAL, b"Subject: x\r\n\r\nno end of line", b"\r\n", b"x"])
def test_every_line_end_is_crlf_and_the_last_line_has_one(original: bytes) -> None:
    content = built(original)
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert content.endswith(b"--\r\n")


def test_a_reply_cannot_forge_a_field_or_end_the_report() -> None:
    reply = "550 a\r\nAction: delivered\r\n\r\n--x"
    evil = Recipient("ann@far.example", Fate.FAILED, reply, "5.0.0")
    of_recipient = blocks(parsed(built(failed=(evil,))))[1]
    assert of_recipient.get_all("Action") == ["failed"]


def test_only_recipients_that_failed_are_owed_a_bounce() -> None:
    everybody = tuple(Recipient(f"{fate}@far.example", fate) for fate in Fate)
    assert [r.fate for r in bounce.dead(everybody)] == [Fate.FAILED]


def test_a_bounce_goes_to_the_sender_with_the_null_sender() -> None:
    to = bounce.addressed(SENDER, "postmaster@example.org")
    assert to == bounce.Addressed("single", "", SENDER)


def test_what_bounces_of_a_bounce_goes_to_the_postmaster() -> None:
    to = bounce.addressed("", "postmaster@example.org")
    assert to == bounce.Addressed("double", "#@[]", "postmaster@example.org")


def test_what_bounces_of_a_double_bounce_is_dropped() -> None:
    assert bounce.addressed("#@[]", "postmaster@example.org") is None


def test_the_same_failure_has_the_same_bounce_and_another_has_another() -> None:
    one = bounce.bounce_id("abc", "0", 1)
    assert one == bounce.bounce_id("abc", "0", 1)
    assert len({one, bounce.bounce_id("abc", "0", 2), bounce.bounce_id("abc", "1", 1)}) == 3
