"""Who may do what at SMTP: for each moment one ordered chain of named policies. Pure.

A policy looks at facts gathered before and returns a Refusal or None; the first refusal of a chain
is the reply, its verdict the name in logs and metrics. SPF, DKIM, DMARC, greylisting and content
filters join a chain here; nothing else changes.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from services.smtpd.facts import Client, DataFacts, MailFacts, RcptFacts, StrangerFacts
from services.smtpd.policies import (
    client,
    hostile,
    load,
    login,
    mail,
    quota,
    rates,
    recipient,
    sender,
    stranger,
)
from services.smtpd.refusal import Refusal

F = TypeVar("F")
Chain = tuple[Callable[[F], Refusal | None], ...]

CONNECT: Chain[Client] = (
    load.process_is_full,
    client.denied_by_rule,
    load.client_has_many,
    rates.too_many_connections,
    rates.too_many_errors,
)

ERROR: Chain[Client] = (rates.too_many_errors,)
"""After a reply that was 5xx."""

GREETING: Chain[Client] = (hostile.early_talker,)

MAIL: Chain[MailFacts] = (
    client.not_logged_in,
    login.not_the_sender_of_the_login,
    mail.declared_too_big,
    rates.too_many_mails,
    rates.too_many_submitted,
)

RCPT: Chain[RcptFacts] = (
    client.blocked_by_rule,
    sender.bad_sender,
    sender.bad_sender_by_pattern,
    recipient.bad_recipient,
    recipient.too_many_recipients,
    rates.too_many_recipients,
    rates.too_many_unknown,
    recipient.not_relayed,
    login.not_the_sender_of_the_relay_list,
    rates.too_many_relayed,
    recipient.no_mailbox,
    recipient.locked,
    recipient.may_not_post,
    quota.over_quota,
)

STRANGER: Chain[StrangerFacts] = (
    stranger.on_a_list,
    stranger.bad_helo,
    stranger.bad_sender_of_stranger,
    stranger.no_sender_domain,
)
"""At RCPT, where RCPT has nothing against it and the client may not relay: costly to know."""

DATA: Chain[DataFacts] = (
    mail.bare_line_ends,
    mail.too_big,
    hostile.no_room,
    hostile.big_header,
    hostile.nul,
    hostile.long_line,
    mail.looping,
)


def refusal(chain: Chain[F], facts: F) -> Refusal | None:
    """The first refusal of a chain; None: nobody objects."""
    for policy in chain:
        said = policy(facts)
        if said:
            return said
    return None


def explained(chain: Chain[F], facts: F) -> Iterator[tuple[str, Refusal | None]]:
    """Every policy of a chain by its name, in order, with what it says."""
    return ((policy.__name__, policy(facts)) for policy in chain)
