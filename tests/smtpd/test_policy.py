"""The chain of policies: what each refuses, in which order, and that nothing relays for nobody."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from services.smtpd import policy
from services.smtpd.facts import Client, Domain, Kind, MailFacts, RcptFacts, StrangerFacts
from services.smtpd.policies.recipient import in_hosts
from tubepost.sender_patterns import parse_hosts, parse_recipients, parse_senders
from tubepost.tcprules import Rule

BADMAILFROM = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
RCPTHOSTS = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
NO_MAILBOX = "550 sorry, no mailbox here by that name (#5.1.1)"
TOO_MANY = "452 sorry, too many recipients (#4.5.3)"

RELAYS = Rule(variables={"RELAYCLIENT": ""})
BLOCKED = Rule(variables={"RBLSMTPD": "go away"})


def facts(**changes: Any) -> RcptFacts:
    """A recipient that nothing speaks against, but for the changes."""
    base = RcptFacts(
        client=Client("192.0.2.1"),
        sender="joe@example.org",
        accepted_so_far=0,
        max_recipients=100,
        bad_senders=frozenset(),
        local=True,
        in_rcpthosts=False,
        mailbox_exists=True,
    )
    return replace(base, **changes)


def reply(found: RcptFacts) -> str:
    """The reply of the chain, "" where it accepts."""
    refusal = policy.refusal(policy.RCPT, found)
    return refusal.reply if refusal else ""


@pytest.mark.parametrize(
    ("sender", "listed", "refused"),
    [
        ("joe@example.org", "joe@example.org", True),
        ("Joe@EXAMPLE.org", "joe@example.org", True),
        ("joe@example.org", "@example.org", True),
        ("joe@sub.example.org", "@example.org", False),
        ("joe@notexample.org", "@example.org", False),
        ("ann@example.org", "joe@example.org", False),
        ("", "@", False),
    ],
)
def test_badmailfrom(sender: str, listed: str, refused: bool) -> None:
    found = reply(facts(sender=sender, bad_senders=frozenset({listed})))
    assert found == (BADMAILFROM if refused else "")


@pytest.mark.parametrize(("accepted", "answer"), [(0, ""), (99, ""), (100, TOO_MANY)])
def test_too_many_recipients(accepted: int, answer: str) -> None:
    assert reply(facts(accepted_so_far=accepted)) == answer


def test_no_mailbox() -> None:
    assert reply(facts(mailbox_exists=False)) == NO_MAILBOX
    assert reply(facts(local=False, in_rcpthosts=True, mailbox_exists=False)) == ""


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("go away", "451 go away"),
        ("-see http://example.org/", "553 see http://example.org/"),
        ("", ""),
    ],
)
def test_rblsmtpd(text: str, answer: str) -> None:
    client = Client("192.0.2.1", Rule(variables={"RBLSMTPD": text}))
    assert reply(facts(client=client)) == answer


def test_order_of_the_chain() -> None:
    """Everything is wrong at once; what is put right one by one shows the next refusal."""
    wrong = facts(
        client=Client("192.0.2.1", BLOCKED),
        bad_senders=frozenset({"@example.org"}),
        accepted_so_far=100,
        local=False,
    )
    steps = [
        wrong,
        unblocked := replace(wrong, client=Client("192.0.2.1")),
        good_sender := replace(unblocked, bad_senders=frozenset()),
        few := replace(good_sender, accepted_so_far=0),
        replace(few, local=True, mailbox_exists=False),
    ]
    expected = ["451 go away", BADMAILFROM, TOO_MANY, RCPTHOSTS, NO_MAILBOX]
    assert [reply(step) for step in steps] == expected


def test_badmailfrom_holds_for_relay_clients_too() -> None:
    client = Client("192.0.2.1", RELAYS, "ann@example.net")
    assert reply(facts(client=client, bad_senders=frozenset({"@example.org"}))) == BADMAILFROM


def test_no_open_relay() -> None:
    """For every combination of the facts: foreign mail needs one of the three reasons."""
    seen = 0
    for rule, user, relay_user, sender, bad, so_far, local, listed, exists in product(
        (Rule(), RELAYS, BLOCKED, Rule(allow=False), Rule(allow=False, variables=RELAYS.variables)),
        ("", "ann@example.net"),
        ("", "bob@example.net"),
        ("", "joe@example.org", "postmaster@example.net"),
        (frozenset[str](), frozenset({"@example.org"})),
        (0, 99, 100),
        (False, True),
        (False, True),
        (False, True),
    ):
        found = facts(
            client=Client("192.0.2.1", rule, user),
            relay_user=relay_user,
            sender=sender,
            bad_senders=bad,
            accepted_so_far=so_far,
            local=local,
            in_rcpthosts=listed,
            mailbox_exists=exists,
        )
        reason = (rule.allow and "RELAYCLIENT" in rule.variables) or user or relay_user
        if not (local or listed or reason):
            seen += 1
            assert reply(found), found
        if reply(found) == RCPTHOSTS:
            assert (local, listed, bool(reason)) == (False, False, False), found
    assert seen == 4 * 3 * 2 * 3 * 2  # rules without relay, senders, bad, counts, mailbox


def test_nothing_configured_relays_for_nobody() -> None:
    assert reply(facts(local=False, mailbox_exists=False)) == RCPTHOSTS
    assert facts(local=False).needs_relay


@pytest.mark.parametrize(
    "changes",
    [
        {"local": True},
        {"in_rcpthosts": True},
        {"client": Client("192.0.2.1", RELAYS)},
        {"client": Client("192.0.2.1", Rule(), "ann@example.net")},
    ],
)
def test_the_relay_list_is_asked_only_where_it_decides(changes: dict[str, Any]) -> None:
    assert not facts(**({"local": False} | changes)).needs_relay


def test_a_denied_address_is_refused_when_it_connects() -> None:
    refusal = policy.refusal(
        policy.CONNECT, Client("192.0.2.1", Rule(allow=False, variables=RELAYS.variables))
    )
    assert refusal is not None
    assert refusal.reply == "554 sorry, your address is not allowed here (#5.7.1)"
    assert policy.refusal(policy.CONNECT, Client("192.0.2.1")) is None


@pytest.mark.parametrize(
    ("kind", "user", "refused"),
    [
        (Kind.SUBMISSION, "", True),
        (Kind.SUBMISSIONS, "", True),
        (Kind.SUBMISSION, "a@b.example", False),
        (Kind.MX, "", False),
    ],
)
def test_submission_wants_a_login(kind: Kind, user: str, refused: bool) -> None:
    found = policy.refusal(policy.MAIL, MailFacts(client=Client("192.0.2.1", user=user, kind=kind)))
    assert (found is not None) == refused
    if found:
        assert found.reply == "530 authorization required (#5.7.1)"


@pytest.mark.parametrize(
    ("declared", "limit", "refused"),
    [(0, 10, False), (10, 10, False), (11, 10, True), (10**12, 0, False)],
)
def test_declared_size(declared: int, limit: int, refused: bool) -> None:
    facts = MailFacts(client=Client("192.0.2.1"), size=declared, size_limit=limit)
    found = policy.refusal(policy.MAIL, facts)
    assert (found.verdict if found else "") == ("databytes" if refused else "")


@pytest.mark.parametrize(
    ("domain", "listed"),
    [
        ("example.org", True),
        ("sub.example.org", False),
        ("a.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("notexample.org", False),
        ("xexample.net", False),
        ("org", False),
        ("[192.0.2.1]", False),
    ],
)
def test_rcpthosts(domain: str, listed: bool) -> None:
    assert in_hosts(domain, frozenset({"example.org", ".example.net"})) == listed


def test_every_refusal_has_a_name_and_a_code() -> None:
    names = [
        refusal.verdict
        for bad in (
            facts(client=Client("192.0.2.1", BLOCKED)),
            facts(bad_senders=frozenset({"@example.org"})),
            facts(accepted_so_far=100),
            facts(local=False),
            facts(mailbox_exists=False),
        )
        if (refusal := policy.refusal(policy.RCPT, bad))
    ]
    assert names == ["rblsmtpd", "badmailfrom", "maxrcpt", "rcpthosts", "mailbox"]


def stranger(**changes: Any) -> str:
    """The verdict and code of the chain for those who may not relay, "" where it accepts."""
    refusal = policy.refusal(policy.STRANGER, replace(StrangerFacts(rcpt=facts()), **changes))
    return f"{refusal.verdict} {refusal.reply[:3]}" if refusal else ""


def test_badrcptto_holds_for_relay_clients_too_and_is_tested_before_the_relay_is() -> None:
    bad = parse_recipients(("@far.example",))
    wanted = facts(recipient="x@Far.example", bad_recipients=bad, local=False)
    assert reply(wanted).startswith("553 sorry, your envelope recipient is in my badrcptto list")
    assert reply(replace(wanted, client=Client("192.0.2.1", RELAYS))).startswith("553 ")
    assert reply(replace(wanted, recipient="x@near.example")) == RCPTHOSTS


def test_an_exempt_sender_is_in_no_list() -> None:
    lines = parse_senders(("?Joe@example.org", "*@example.org"))
    listed = facts(bad_senders=frozenset({"@example.org"}), sender_lines=lines)
    assert reply(listed) == ""
    assert reply(replace(listed, sender="ann@example.org")) == BADMAILFROM
    assert reply(replace(listed, sender="ann@example.org", bad_senders=frozenset())) == BADMAILFROM
    assert reply(replace(listed, sender="")) == ""


def test_order_of_the_chain_for_strangers() -> None:
    """Everything is wrong at once; what is put right one by one shows the next refusal."""
    base = facts(
        client=Client("192.0.2.1", helo="Localhost"),
        sender_lines=parse_senders(("@example.org+",)),
    )
    wrong: dict[str, Any] = {
        "listing": "451 go away",
        "bad_helo": parse_hosts(("localhost",)),
        "rcpt": base,
        "sender_domain": Domain.MISSING,
    }
    found = []
    for right in ("listing", "bad_helo", "rcpt", "sender_domain"):
        found.append(stranger(**wrong))
        del wrong[right]
    assert found == ["rbl 451", "badhelo 553", "badmailfrom 553", "mfdnscheck 553"]
    assert stranger(**wrong) == ""


def test_what_dns_does_not_say_is_temporary_or_no_reason() -> None:
    assert stranger(sender_domain=Domain.UNKNOWN) == "mfdnscheck 451"
    assert stranger(helo_check="a", helo_domain=Domain.UNKNOWN) == "badhelo 553"  # no HELO at all
    greeted = facts(client=Client("192.0.2.1", helo="x.example"))
    assert stranger(rcpt=greeted, helo_domain=Domain.UNKNOWN) == "badhelo 451"
    assert stranger(rcpt=greeted, helo_check="=", name=None) == ""
    assert stranger(rcpt=greeted, helo_check="=", name="") == "badhelo 553"
