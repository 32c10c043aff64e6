"""The limits a host announces."""

from math import inf

import pytest

from services.remote.smtp.announced import mail_max


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ("MAILMAX=20", 20),
        ("RCPTMAX=100 mailmax=7", 7),
        ("MAILMAX=0", 1),
        ("", inf),
        ("RCPTMAX=100", inf),
        ("MAILMAX", inf),
        ("MAILMAX=", inf),
        ("MAILMAX=-1", inf),
        ("MAILMAX=many", inf),
        ("MAILMAX=" + "9" * 5000, inf),
    ],
)
def test_the_mails_a_host_takes_over_one_connection(limits: str, most: float) -> None:
    assert mail_max({"LIMITS": limits}) == most


def test_a_host_that_announces_nothing() -> None:
    assert mail_max({}) == inf
