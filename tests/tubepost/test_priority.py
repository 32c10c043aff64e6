"""Who goes first."""

import pytest

from tubepost.priority import FEW, of_mail
from tubepost.record import Priority

PLAIN = b"From: a@b.c\r\nSubject: precedence: bulk\r\n"


@pytest.mark.parametrize(
    ("submitted", "recipients", "priority"),
    [
        (True, 1, Priority.INTERACTIVE),
        (True, FEW, Priority.INTERACTIVE),
        (True, FEW + 1, Priority.NORMAL),
        (False, 1, Priority.NORMAL),
    ],
)
def test_a_person_s_mail_goes_first(submitted: bool, recipients: int, priority: Priority) -> None:
    assert of_mail(PLAIN, submitted=submitted, recipients=recipients) is priority


@pytest.mark.parametrize(
    "field",
    [
        b"Precedence: bulk",
        b"PRECEDENCE:junk",
        b"Precedence: \tlist",
        b"List-Id: Discussion <d.example.org>",
        b"List-Unsubscribe: <mailto:x@example.org>",
    ],
)
def test_what_says_that_it_is_bulk_goes_last(field: bytes) -> None:
    header = PLAIN + field + b"\r\n"
    assert of_mail(header, submitted=True, recipients=1) is Priority.BULK


@pytest.mark.parametrize("field", [b"Precedence: special-delivery", b"X-Precedence: bulk"])
def test_what_only_looks_like_it_does_not(field: bytes) -> None:
    header = PLAIN + field + b"\r\n"
    assert of_mail(header, submitted=False, recipients=1) is Priority.NORMAL
