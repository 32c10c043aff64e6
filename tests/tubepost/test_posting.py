"""Who may write to a list."""

from dataclasses import replace

import pytest

from tubepost.directory_values import MEMBERS, MODERATORS, OPEN, MailingList
from tubepost.posting import NO_REPORTS, NOT_ALLOWED, may_post, why_not

TALK = MailingList(
    "talk@o.example",
    "owner@o.example",
    members=("Ann@far.example", "News@o.example", '"a b"@far.example', "zoë@far.example"),
    moderators=("kim@far.example",),
)


@pytest.mark.parametrize(
    ("sender", "may"),
    [
        ("ann@FAR.example", {OPEN, MEMBERS}),
        ('"A B"@far.example', {OPEN, MEMBERS}),
        ("ZOE\u0308@far.example", {OPEN, MEMBERS}),
        ("kim@far.example", {OPEN, MEMBERS, MODERATORS}),
        ("who@far.example", {OPEN}),
        ("ann@near.example", {OPEN}),
        ("owner@o.example", {OPEN}),
        ("news-return-ann=far.example@O.example", {OPEN, MEMBERS}),
        ("news-return-17-talk=o.example@o.example", {OPEN, MEMBERS}),
        ("kim-return-@far.example", {OPEN, MEMBERS, MODERATORS}),
        ("news-return-@far.example", {OPEN}),
        ("-return-news@o.example", {OPEN}),
        ("news-returns-@o.example", {OPEN}),
        ('"', {OPEN}),
        ("", set()),
        ("#@[]", set()),
    ],
)
def test_who_may_write(sender: str, may: set[str]) -> None:
    lists = [replace(TALK, posting=posting) for posting in (OPEN, MEMBERS, MODERATORS)]
    assert {one.posting for one in lists if may_post(one, sender)} == may


def test_it_says_why_not() -> None:
    closed = replace(TALK, posting=MODERATORS)
    assert why_not(closed, "ann@far.example") == NOT_ALLOWED
    assert why_not(closed, "") == NO_REPORTS
    assert why_not(closed, "kim@far.example") == ""
