"""Flags by our names and by vpopmail's."""

import pytest

from ctl.flag_words import ORDER, flags
from tubepost.directory_values import FLAGS
from tubepost.errors import BadInput


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no_pop", ["no_pop"]),
        ("NO_SMTP, NO_POP", ["no_pop", "no_smtp"]),
        ("disable_pop disable_smtp disable_external_relay", ["no_pop", "no_relay", "no_smtp"]),
        ("BOUNCE_MAIL,locked", ["locked"]),
        ("none", []),
    ],
)
def test_names_of_flags(text: str, found: list[str]) -> None:
    assert flags(text) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "say which flags: no_pop, no_smtp"),
        ("no_fun", "there is no flag 'no_fun'; there are no_pop, no_smtp"),
        ("no_imap", "there is no flag no_imap: IMAP is not served from here"),
        ("no_pop,disable_webmail", "webmail is not served from here"),
        ("no_pop,none", "there is no flag 'none'"),
    ],
)
def test_what_is_no_flag_is_said(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        flags(text)


def test_every_flag_has_its_place() -> None:
    assert set(ORDER) == FLAGS
