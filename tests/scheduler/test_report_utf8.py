"""Reports about mail with SMTPUTF8 (RFC 6533), read back with the library's mail parser."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest

from services.scheduler import report
from services.scheduler.bounce import Action
from tests.scheduler.test_report import facts
from tubepost.record import Fate, Recipient

ORIGINAL = "Subject: Grüße\r\n\r\nHi.\r\n".encode()
ZOE = Recipient(
    "zoë+a@far.example",
    Fate.FAILED,
    "The recipient's address is not ASCII and 192.0.2.1 does not offer SMTPUTF8. (#5.6.7)",
    "5.6.7",
    orcpt=r"utf-8;zo\x{EB}@old.example",
)


def parts(made: report.Facts) -> tuple[EmailMessage, list[EmailMessage]]:
    parsed = message_from_bytes(report.build(made), policy=policy.SMTPUTF8)
    return parsed, cast(list[EmailMessage], parsed.get_payload())


def test_the_status_stays_ascii_and_the_text_says_what_it_is() -> None:
    made = facts(ZOE, original=ORIGINAL, smtputf8=True)
    whole, [text, status, _] = parts(made)
    assert text.get_content_charset() == "utf-8"
    assert "<zoë+a@far.example>:" in text.get_content()
    octets = report.build(made)
    assert rb"Final-Recipient: utf-8; zo\x{EB}\x{2B}a@far.example" in octets
    assert rb"Original-Recipient: utf-8; zo\x{EB}@old.example" in octets
    assert status.get_content_type() == "message/delivery-status"
    assert whole["Content-Transfer-Encoding"] == "8bit"


@pytest.mark.parametrize(
    ("action", "wanted"),
    [(Action.FAILED, "message/global"), (Action.DELAYED, "message/global-headers")],
)
def test_a_wide_original_is_a_global_one(action: Action, wanted: str) -> None:
    made = facts(ZOE, original=ORIGINAL, smtputf8=True, action=action)
    assert (
        f"Content-Type: {wanted}\r\nContent-Transfer-Encoding: 8bit\r\n".encode()
        in report.build(made)
    )


def test_an_original_that_did_not_need_it_is_an_ordinary_one() -> None:
    made = facts(ZOE, smtputf8=True)
    assert b"Content-Type: message/rfc822\r\n" in report.build(made)


def test_a_report_to_a_wide_address_names_it_as_it_is() -> None:
    whole, _ = parts(facts(ZOE, original=ORIGINAL, smtputf8=True, to="josé@x.example"))
    assert whole["To"] == "josé@x.example"
