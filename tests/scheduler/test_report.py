"""Reports: their whole text (reports/*.txt), and read back with the library's mail parser.

RFC 6522, 3464, 3461. In the files a line ends with LF; `\\xNN` is that octet.
"""

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from services.scheduler import report
from services.scheduler.bounce import Action, Owed
from tests.scheduler.units import NOW, record
from tubepost.record import Fate, Note, Recipient, Record
from tubepost.retry import EXPIRED

FOLDER = Path(__file__).parent / "reports"
ME, JOE = "mail.example.org", "joe@example.org"
ORIGINAL = b"Received: from unknown\r\nSubject: hello\r\n\r\nHi Ann.\r\n.\r\n..dots\r\n"
EIGHT_BIT = b"Subject: Gr\xfc\xdfe\r\n\r\nGr\xfc\xdfe \xff\r\n"

NO_SUCH_USER = Recipient(
    "ann@far.example",
    Fate.FAILED,
    "192.0.2.1 does not like recipient./Remote host said: 550-5.1.1 no such user/550 see "
    "https://far.example/help/Giving up on 192.0.2.1.",
    "5.1.1",
    orcpt="rfc822;Ann+2Bold@example.com",
)
TOO_LONG = Recipient(
    "bob@far.example",
    Fate.FAILED,
    f"Connected to 2001:db8::1 but connection died. (#4.4.2)/{EXPIRED}",
    "4.4.2",
)
NO_HOST = Recipient(
    "eve@far.example",
    Fate.FAILED,
    "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)/192.0.2.1: timed out"
    f"/192.0.2.2: connection refused/{EXPIRED}",
    "",
)
LATER = Recipient(
    "ann@far.example",
    Fate.WAITING,
    "192.0.2.1 does not like recipient./Remote host said: 451 4.7.1 greylisted"
    "/Giving up on 192.0.2.1.",
    "4.7.1",
)
HANDED_ON = Recipient(
    "ann@far.example",
    Fate.UNCONFIRMED,
    "192.0.2.1 accepted message./Remote host said: 250 2.0.0 queued as 42",
    "2.0.0",
    "SUCCESS",
)
IN_MAILBOX = Recipient("ann@example.org", Fate.UNCONFIRMED, "did_1+0+0/", "2.0.0", "SUCCESS")
NO_MAILBOX = Recipient(
    "ann@example.org", Fate.FAILED, "Sorry, no mailbox here by that name. (#5.1.1)", "5.1.1"
)


def facts(
    *recipients: Recipient,
    action: Action = Action.FAILED,
    original: bytes | None = ORIGINAL,
    to: str = JOE,
    max_bytes: int = 50_000,
    **more: object,
) -> report.Facts:
    """`more`: of the record."""
    made = replace(record(*recipients, attempts=3), size=len(original or b""), **more)  # type: ignore[arg-type]
    return report.Facts(
        owed=Owed(action, "0123abcb0n0", recipients),
        mail_id="0123abc",
        record=made,
        me=ME,
        author=f"MAILER-DAEMON@{ME}",
        to=to,
        original=original,
        max_bytes=max_bytes,
        now=NOW + 6400,
        lifetime=604_800,
    )


REPORTS = {
    "failed": facts(NO_SUCH_USER, TOO_LONG, NO_HOST, envid="QQ+2B31+3D41", ret="FULL"),
    "failed-local": facts(NO_MAILBOX, channel="local"),
    "failed-headers-only": facts(NO_SUCH_USER, ret="HDRS", envid="x"),
    "failed-8bit": facts(NO_SUCH_USER, original=EIGHT_BIT),
    "failed-body-lost": facts(NO_SUCH_USER, original=None),
    "failed-verp": facts(NO_SUCH_USER, sender="list-@example.org-@[]", to="list-@example.org"),
    "double": facts(NO_SUCH_USER, sender="", to="postmaster@mail.example.org"),
    "delivered": facts(IN_MAILBOX, action=Action.DELIVERED, channel="local", ret="FULL"),
    "relayed": facts(HANDED_ON, action=Action.RELAYED, envid="id"),
    "delayed": facts(LATER, action=Action.DELAYED, ret="FULL"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_whole_text(name: str) -> None:
    text = report.build(REPORTS[name]).decode("ascii", "backslashreplace").replace("\r\n", "\n")
    assert text == (FOLDER / f"{name}.txt").read_text()


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(REPORTS)


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


@pytest.mark.parametrize("name", REPORTS)
def test_a_mail_parser_reads_every_report(name: str) -> None:
    given = REPORTS[name]
    mail = parsed(report.build(given))
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert mail["From"] == f"MAILER-DAEMON@{ME}"
    assert mail["To"] == given.to
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["Date"].datetime.timestamp() == given.now
    of_mail, *of_recipients = blocks(mail)
    assert of_mail["Reporting-MTA"] == f"dns; {ME}"
    assert [b["Final-Recipient"] for b in of_recipients] == [
        f"rfc822; {r.address}" for r in given.owed.recipients
    ]
    assert {b["Action"] for b in of_recipients} == {given.owed.action}
    digit = {"failed": "5", "delayed": "4"}.get(given.owed.action, "2")
    assert {b["Status"][0] for b in of_recipients} == {digit}


@pytest.mark.parametrize("name", REPORTS)
def test_every_line_ends_with_crlf_and_none_is_too_long(name: str) -> None:
    content = report.build(REPORTS[name])
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert content.endswith(b"--\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("original", [ORIGINAL, b"Subject: x\r\n\r\nno end of line", b"\r\n", b"x"])
def test_the_original_comes_back_octet_for_octet_behind_its_return_path(original: bytes) -> None:
    content = report.build(facts(NO_SUCH_USER, original=original))
    assert b"\r\n\r\nReturn-Path: <joe@example.org>\r\n" + original + b"\r\n--=_" in content
    assert content.count(b"\r\n") == content.count(b"\n")


@pytest.mark.parametrize(
    ("action", "ret", "size", "max_bytes", "whole"),
    [
        (Action.FAILED, "", 100, 100, True),
        (Action.FAILED, "FULL", 100, 100, True),
        (Action.FAILED, "FULL", 101, 100, False),
        (Action.FAILED, "", 1, 0, False),
        (Action.FAILED, "HDRS", 1, 100, False),
        (Action.DELAYED, "FULL", 1, 100, False),
        (Action.DELIVERED, "FULL", 1, 100, False),
        (Action.RELAYED, "", 1, 100, False),
    ],
)
def test_what_of_the_mail_comes_back(
    action: Action, ret: str, size: int, max_bytes: int, whole: bool
) -> None:
    mail = replace(record(), ret=ret, size=size)
    assert report.returns_whole(mail, action, max_bytes) is whole


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"X-Filler: x\r\n" * 500_000, b"X-Filler: x\r\n" * (report.MAX_HEADER // 13)),
        (b"X-Filler: " + b"x" * report.MAX_HEADER + b"\r\n", b""),
    ],
    ids=["lines", "one-line"],
)
def test_a_report_stays_small_where_the_header_is_the_big_part(header: bytes, kept: bytes) -> None:
    content = report.build(facts(NO_SUCH_USER, original=header + b"\r\nhello\r\n"))
    assert b"Return-Path: <joe@example.org>\r\n" + kept + b"\r\n--=_" in content


def test_an_8bit_header_alone_is_declared_too() -> None:
    mail = parsed(report.build(facts(LATER, action=Action.DELAYED, original=EIGHT_BIT)))
    assert mail["Content-Transfer-Encoding"] == "8bit"
    assert parts(mail)[2]["Content-Transfer-Encoding"] == "8bit"


def test_a_reply_cannot_forge_a_field_or_end_the_report() -> None:
    reply = "550 a\r\nAction: delivered\r\n\r\n--x"
    evil = Recipient("ann@far.example", Fate.FAILED, reply, "5.0.0")
    content = report.build(facts(evil))
    assert blocks(parsed(content))[1].get_all("Action") == ["failed"]
    assert b"\n--x" not in content


def test_a_local_text_is_no_smtp_reply_whatever_it_says() -> None:
    liar = Recipient("ann@example.org", Fate.FAILED, "192.0.2.1 failed /Remote host said: 550 x")
    block = blocks(parsed(report.build(facts(liar, channel="local"))))[1]
    assert block["Remote-MTA"] is None
    assert block["Diagnostic-Code"].startswith("x-tubepost; ")


@pytest.mark.parametrize(
    "change", [{"attempts": 0}, {"note": Note("admin", "gave it up", NOW)}], ids=["none", "by-hand"]
)
def test_no_last_attempt_is_made_up(change: dict[str, object]) -> None:
    given = facts(NO_SUCH_USER)
    made: Record = replace(given.record, **change)  # type: ignore[arg-type]
    block = blocks(parsed(report.build(replace(given, record=made))))[1]
    assert block["Last-Attempt-Date"] is None


def test_made_again_it_differs_in_its_dates_only() -> None:
    """A repeat may find half of a long one stored: what is stored has to fit together."""
    given = facts(NO_SUCH_USER)
    first, later = report.build(given), report.build(replace(given, now=given.now + 100))
    changed = [a for a, b in zip(first.split(b"\r\n"), later.split(b"\r\n"), strict=True) if a != b]
    assert [line.split(b":")[0] for line in changed] == [b"Date", b"Last-Attempt-Date"]
