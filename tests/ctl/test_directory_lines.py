"""What the directory's commands print, from answers as popauth's models make them."""

from typing import Any

import pytest

from ctl import directory_lines
from services.popauth.models import (
    AccountShown,
    ActionShown,
    AliasShown,
    ChangeShown,
    CountsShown,
    DomainShown,
    LimitsShown,
    ListShown,
    ResolutionShown,
    TokenShown,
    UsedShown,
)

NOT_KNOWN = UsedShown(name="example.org", quota="NOQUOTA").model_dump()
COUNTS = CountsShown(accounts=3, aliases=0, lists=1, domains=1)
LIMITS = LimitsShown(accounts=10, aliases=0, lists=0, quota="NOQUOTA", flags=["no_pop"])
ORG = DomainShown(
    name="example.org",
    alias_of="",
    aliases=["alias.example"],
    unknown="ann@example.org",
    hold=False,
    quota="NOQUOTA",
    limits=LIMITS,
    counts=COUNTS,
)
JOE = AccountShown(
    address="joe@example.org",
    name="",
    home="a1/example.org/b2/joe",
    flags=["no_smtp"],
    domain_flags=[],
    quota="10000S",
    forward=["ann@far.example", "bob@far.example"],
    keep=False,
)


def test_a_domain() -> None:
    assert list(directory_lines.domain(ORG.model_dump(), NOT_KNOWN)) == [
        "domain\texample.org",
        "other names\talias.example",
        "mail for nobody\tgoes to ann@example.org",
        "on hold\tno",
        "quota\tNOQUOTA",
        "used\tnot known now",
        "accounts\t3 of 10",
        "aliases\t0 of any number",
        "lists\t1 of any number",
        "quota of a new account\tNOQUOTA",
        "flags of all accounts\tno_pop",
    ]


def test_another_name_of_a_domain_has_nothing_of_its_own() -> None:
    shown = ORG.model_copy(update={"name": "alias.example", "alias_of": "example.org"})
    assert list(directory_lines.domain(shown.model_dump(), {})) == [
        "domain\talias.example",
        "alias of\texample.org",
    ]


@pytest.mark.parametrize(
    ("unknown", "line"),
    [("refuse", "mail for nobody\tis refused"), ("delete", "mail for nobody\tis thrown away")],
)
def test_mail_for_nobody(unknown: str, line: str) -> None:
    shown = ORG.model_copy(update={"unknown": unknown, "aliases": []})
    assert list(directory_lines.domain(shown.model_dump(), NOT_KNOWN))[1] == line


def test_an_account() -> None:
    used = UsedShown(name="joe@example.org", quota="10000S", octets=2500, mails=1)
    assert list(directory_lines.account(JOE.model_dump(), used.model_dump())) == [
        "address\tjoe@example.org",
        "name\t-",
        "folder\ta1/example.org/b2/joe/Maildir",
        "flags\tno_smtp",
        "quota\t10000S",
        "used\t2500 octets, 1 mail (25%)",
        "forward\tann@far.example bob@far.example\tno copy stays here",
    ]


def test_an_account_says_what_its_domain_forbids_and_no_word_of_a_copy_without_a_forward() -> None:
    shown = JOE.model_copy(update={"domain_flags": ["no_pop"], "forward": [], "flags": []})
    lines = list(directory_lines.account(shown.model_dump(), NOT_KNOWN))
    assert lines[3:5] == ["flags\t-", "flags by its domain\tno_pop"]
    assert lines[-1] == "forward\t-"


@pytest.mark.parametrize(
    ("quota", "used", "text"),
    [
        ("NOQUOTA", (0, 0), "0 octets, 0 mails"),
        ("1000S,10C", (500, 9), "500 octets, 9 mails (90%)"),
        ("1000S,10C", (1500, 2), "1500 octets, 2 mails (150%)"),
        ("10C", (1500, 1), "1500 octets, 1 mail (10%)"),
        ("10C", (None, None), "not known now"),
    ],
)
def test_the_share_is_that_of_the_nearer_limit(quota: str, used: Any, text: str) -> None:
    shown = UsedShown(name="x", quota=quota, octets=used[0], mails=used[1]).model_dump()
    assert directory_lines.used_text(shown) == text
    assert directory_lines.used(shown) == f"x\tquota {quota}\tused {text}"


@pytest.mark.parametrize(
    ("owner", "verp", "bounces"),
    [
        ("", False, "the sender"),
        ("kim@example.org", False, "kim@example.org"),
        ("kim@example.org", True, "kim@example.org, one address for each recipient"),
    ],
)
def test_an_alias(owner: str, verp: bool, bounces: str) -> None:
    shown = AliasShown(address="us@example.org", to=["a@x.example"], owner=owner, verp=verp)
    assert list(directory_lines.alias(shown.model_dump())) == [
        "alias\tus@example.org",
        "to\ta@x.example",
        f"bounces to\t{bounces}",
    ]


def test_a_list() -> None:
    shown = ListShown(
        address="news@example.org",
        owner="kim@example.org",
        members=["a@x.example", "b@x.example"],
        posting="moderators",
        moderators=["kim@example.org"],
        name="News",
    )
    assert list(directory_lines.mailing_list(shown.model_dump())) == [
        "list\tnews@example.org",
        "name\tNews",
        "owner\tkim@example.org",
        "may write\tits moderators",
        "moderators\tkim@example.org",
        "members\t2",
    ]


@pytest.mark.parametrize(
    ("action", "line"),
    [
        ({"name": "store", "home": "a1/example.org/joe"}, "maildir a1/example.org/joe/Maildir/"),
        ({"name": "forward", "to": ["a@x.example", "b@x.example"]},
         "forward a@x.example b@x.example"),
        ({"name": "forward", "to": ["a@x.example"], "owner": "kim@example.org"},
         "forward a@x.example (bounces to kim@example.org)"),
        ({"name": "post", "mailing_list": "news@example.org"}, "list news@example.org"),
        ({"name": "discard"}, "discard"),
        ({"name": "refuse", "text": "Sorry, no mailbox here by that name. (#5.1.1)"},
         "refuse Sorry, no mailbox here by that name. (#5.1.1)"),
        ({"name": "wait", "text": "This mailbox is on hold. (#4.2.1)"},
         "wait This mailbox is on hold. (#4.2.1)"),
    ],
)  # fmt: skip
def test_an_action_is_a_line(action: dict[str, Any], line: str) -> None:
    shown = ResolutionShown(
        address="joe@example.org", rule="account", exists=True, actions=[ActionShown(**action)]
    )
    assert list(directory_lines.resolution(shown.model_dump())) == [
        "joe@example.org\taccount",
        line,
    ]


def test_a_change_and_a_token() -> None:
    change = ChangeShown(
        at=1_700_000_000.0, actor="kim", action="account added", what="joe@example.org", diff=""
    )
    assert directory_lines.change(change.model_dump()) == (
        "2023-11-14T22:13:20Z\tkim\taccount added\tjoe@example.org"
    )
    token = TokenShown(id="7f", name="ann", domains=["a.example", "b.example"], expires=0)
    line = "7f\tann\ta.example b.example\tuntil "
    assert directory_lines.token(token.model_dump()) == line + "revoked"
    ends = token.model_copy(update={"expires": 1_700_000_000.0})
    assert directory_lines.token(ends.model_dump()) == line + "2023-11-14T22:13:20Z"
