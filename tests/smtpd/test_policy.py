"""The chain of policies: what each refuses, in which order, and that nothing relays for nobody."""

from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.smtpd import policy
from services.smtpd.facts import (
    Client,
    Domain,
    Kind,
    Load,
    MailFacts,
    RcptFacts,
    Sending,
    StrangerFacts,
    Use,
)
from services.smtpd.policies.recipient import in_hosts
from tubepost.quota import ANY, Quota, Used
from tubepost.sender_patterns import Senders, parse_hosts, parse_recipients, parse_senders
from tubepost.tcprules import Rule

BADMAILFROM = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
RCPTHOSTS = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
NO_MAILBOX = "550 sorry, no mailbox here by that name (#5.1.1)"
TOO_MANY = "452 sorry, too many recipients (#4.5.3)"

RELAYS = Rule(variables={"RELAYCLIENT": ""})
BLOCKED = Rule(variables={"RBLSMTPD": "go away"})


def bad(*exact: str) -> Senders:
    """badmailfrom with these lines."""
    return Senders(frozenset(exact))


def facts(**changes: Any) -> RcptFacts:
    """A recipient that nothing speaks against, but for the changes."""
    base = RcptFacts(
        client=Client("192.0.2.1"),
        sender="joe@example.org",
        accepted_so_far=0,
        max_recipients=100,
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
    found = reply(facts(sender=sender, sender_lines=bad(listed)))
    assert found == (BADMAILFROM if refused else "")


@pytest.mark.parametrize(("accepted", "answer"), [(0, ""), (99, ""), (100, TOO_MANY)])
def test_too_many_recipients(accepted: int, answer: str) -> None:
    assert reply(facts(accepted_so_far=accepted)) == answer


def test_no_mailbox() -> None:
    assert reply(facts(mailbox_exists=False)) == NO_MAILBOX
    assert reply(facts(local=False, in_rcpthosts=True, mailbox_exists=False)) == ""


@pytest.mark.parametrize(
    ("used", "size", "refused"),
    [
        (0, 100, False),
        (0, 101, True),
        (60, 40, False),
        (60, 41, True),
        (99, 0, False),
        (100, 0, True),
    ],
)
def test_over_quota(used: int, size: int, refused: bool) -> None:
    full = facts(quota=Quota(100), used=Used(used), size=size)
    assert reply(full) == ("452 user is over quota (#4.2.2)" if refused else "")
    final = reply(replace(full, over_quota_is_final=True))
    assert final == ("552 user is over quota (#5.2.2)" if refused else "")
    assert reply(replace(full, quota=ANY)) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (125, "452 user is over quota (#4.2.2)"),
        (126, "552 mail is bigger than the quota of the user (#5.2.3)"),
    ],
)
def test_what_never_fits_is_refused_at_once(size: int, text: str) -> None:
    """SIZE counts CRLF: what is a little bigger may fit as it is stored."""
    assert reply(facts(quota=Quota(100), size=size)) == text
    of_domain = text.replace("user", "domain")
    assert reply(facts(domain_quota=Quota(100), size=size)) == of_domain


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
        sender_lines=bad("@example.org"),
        accepted_so_far=100,
        local=False,
    )
    steps = [
        wrong,
        unblocked := replace(wrong, client=Client("192.0.2.1")),
        good_sender := replace(unblocked, sender_lines=bad()),
        few := replace(good_sender, accepted_so_far=0),
        replace(few, local=True, mailbox_exists=False),
    ]
    expected = ["451 go away", BADMAILFROM, TOO_MANY, RCPTHOSTS, NO_MAILBOX]
    assert [reply(step) for step in steps] == expected


def test_a_domain_may_be_full_too_and_mails_count() -> None:
    few = facts(quota=Quota(mails=2), used=Used(10**9, 1))
    assert reply(few) == ""
    full = replace(few, domain_quota=Quota(100, 3), domain_used=Used(50, 3))
    assert reply(full) == "452 domain is over quota (#4.2.2)"
    both = replace(full, used=Used(0, 2), over_quota_is_final=True)
    assert reply(both) == "552 user is over quota (#5.2.2)"


def test_what_is_there_and_takes_nothing_says_why() -> None:
    assert reply(facts(refused="account is locked (#5.2.1)")) == "550 account is locked (#5.2.1)"
    assert reply(facts(not_posted="no (#5.7.2)")) == "550 sorry, no (#5.7.2)"


def test_badmailfrom_holds_for_relay_clients_too() -> None:
    client = Client("192.0.2.1", RELAYS, "ann@example.net")
    assert reply(facts(client=client, sender_lines=bad("@example.org"))) == BADMAILFROM


def test_no_open_relay() -> None:
    """For every combination of the facts: foreign mail needs one of the three reasons."""
    seen = 0
    for rule, user, relay_user, sender, lines, so_far, local, listed, exists in product(
        (Rule(), RELAYS, BLOCKED, Rule(allow=False), Rule(allow=False, variables=RELAYS.variables)),
        ("", "ann@example.net"),
        ("", "bob@example.net"),
        ("", "joe@example.org", "postmaster@example.net"),
        (bad(), bad("@example.org")),
        (0, 99, 100),
        (False, True),
        (False, True),
        (False, True),
    ):
        found = facts(
            client=Client("192.0.2.1", rule, user),
            relay_user=relay_user,
            sender=sender,
            sender_lines=lines,
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


REASONS = {"local": False, "in_rcpthosts": False, "relay_user": "", "postmaster": False}
NO_RELAY = st.sampled_from([Rule(), BLOCKED, Rule(allow=False, variables=RELAYS.variables)])


def anything(kind: type, **fixed: Any) -> st.SearchStrategy[Any]:
    """Values of a dataclass with any value in each field, fields added later included."""
    others = {field.name: ... for field in fields(kind) if field.name not in fixed}
    return st.builds(kind, **others, **fixed)


@given(
    anything(
        RcptFacts,
        client=anything(Client, rule=NO_RELAY, user=st.just("")),
        relay_denied=st.just("no"),
        **{name: st.just(value) for name, value in REASONS.items()},
    )
)
@example(RcptFacts(client=Client("192.0.2.1"), sender=""))
def test_no_other_fact_is_a_reason_to_relay(found: RcptFacts) -> None:
    """Without one of the known reasons, nothing else that is known of a client opens the relay."""
    assert reply(found)


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


UP, LEFT = Use(3, 3), Use(2, 3)


@pytest.mark.parametrize(
    ("use", "up"), [(Use(), False), (LEFT, False), (UP, True), (Use(4, 3), True)]
)
def test_a_limit_is_used_up_when_nothing_is_left_of_it(use: Use, up: bool) -> None:
    assert use.up is up


@pytest.mark.parametrize(
    ("load", "verdict"),
    [
        (Load(sessions=UP, own_sessions=UP), "concurrencyincoming"),
        (Load(own_sessions=UP, connections=UP), "concurrencyclient"),
        (Load(connections=UP, errors=UP), "rate_connections"),
        (Load(errors=UP), "rate_errors"),
    ],
)
def test_over_a_limit_nobody_gets_in(load: Load, verdict: str) -> None:
    """For now: every one of these is 421 and ends the session."""
    refusal = policy.refusal(policy.CONNECT, Client("192.0.2.1", load=load))
    assert refusal is not None
    assert (refusal.verdict, refusal.reply[:4], refusal.hang_up) == (verdict, "421 ", True)
    left = Load(LEFT, LEFT, LEFT, LEFT)
    assert policy.refusal(policy.CONNECT, Client("192.0.2.1", load=left)) is None


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"recipients": UP}, "rate_recipients"),
        ({"badrcpt": UP, "mailbox_exists": False}, "rate_badrcpt"),
        ({"recipients": UP, "sender_lines": bad("@example.org")}, "badmailfrom"),
        ({"relayed": UP, "relay_user": "u@example.net"}, "rate_relayed"),
        ({"relayed": UP, "relay_user": "u@example.net", "relaying": True}, ""),
        ({"relayed": UP}, ""),
        ({"recipients": LEFT, "badrcpt": LEFT, "relayed": LEFT, "relay_user": "u@e.net"}, ""),
    ],
)
def test_rates_of_recipients(changes: dict[str, Any], verdict: str) -> None:
    refusal = policy.refusal(policy.RCPT, facts(**changes))
    assert (refusal.verdict if refusal else "") == verdict
    assert not refusal or refusal.reply[0] == "4" or verdict == "badmailfrom"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [({"mails": UP}, "rate_mails"), ({"submitted": UP}, "rate_submitted"), ({"mails": LEFT}, "")],
)
def test_rates_of_mails(changes: dict[str, Any], verdict: str) -> None:
    found = replace(MailFacts(client=Client("192.0.2.1")), **changes)
    refusal = policy.refusal(policy.MAIL, found)
    assert (refusal.verdict if refusal else "") == verdict
    assert not refusal or refusal.reply.startswith("450 ")


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
        assert found.reply == "530 Authorization required (#5.7.1)"


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
            facts(sender_lines=bad("@example.org")),
            facts(accepted_so_far=100),
            facts(local=False),
            facts(mailbox_exists=False),
        )
        if (refusal := policy.refusal(policy.RCPT, bad))
    ]
    assert names == ["rblsmtpd", "badmailfrom", "maxrcpt", "rcpthosts", "mailbox"]


USER = "joe@example.net"


@pytest.mark.parametrize(
    ("sending", "refused"),
    [
        (None, False),
        (Sending(USER, "", "account"), False),
        (Sending(USER, "", "domain"), False),
        (Sending(USER, "Ann@Example.NET", "domain"), False),
        (Sending(USER, "joe@sub.example.net", "domain"), True),
        (Sending(USER, "joe@example.org", "domain"), True),
        (Sending(USER, "joe-x@example.net", "account", owner="Joe@example.net"), False),
        (Sending(USER, "ann@example.net", "account", owner="ann@example.net"), True),
        (Sending(USER, "nobody@example.net", "account"), True),
        (Sending(USER, "joe@example.org", "account"), True),
    ],
)
def test_a_sender_belongs_to_who_sends(sending: Sending | None, refused: bool) -> None:
    """At MAIL for who is logged in, at RCPT for who relays by the relay list."""
    reply = "553 sorry, invalid sender address specified (#5.7.1)"
    at_mail = policy.refusal(policy.MAIL, MailFacts(client=Client("192.0.2.1"), sending=sending))
    at_rcpt = policy.refusal(policy.RCPT, facts(local=False, relay_user=USER, sending=sending))
    found = [(r.verdict, r.reply) for r in (at_mail, at_rcpt) if r]
    assert found == ([("authmailfrom", reply), ("relaymailfrom", reply)] if refused else [])


def test_who_may_not_relay_hears_of_no_senders() -> None:
    found = policy.refusal(policy.RCPT, facts(local=False, relay_user=""))
    assert found
    assert found.verdict == "rcpthosts"


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
    listed = facts(sender_lines=replace(lines, exact=frozenset({"@example.org"})))
    assert reply(listed) == ""
    assert reply(replace(listed, sender="ann@example.org")) == BADMAILFROM
    assert reply(replace(listed, sender="ann@example.org", sender_lines=lines)) == BADMAILFROM
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
