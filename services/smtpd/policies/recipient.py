"""Policies on a recipient: whether it may be relayed to, and whether it can get mail."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.domain_table import name_for
from tubepost.relay_denied import filled


def too_many_recipients(facts: RcptFacts) -> Refusal | None:
    """452, so that the client sends the rest in a second transaction (RFC 5321 4.5.3.1.10)."""
    if facts.accepted_so_far >= facts.max_recipients:
        return Refusal("maxrcpt", "452 sorry, too many recipients (#4.5.3)")
    return None


def bad_recipient(facts: RcptFacts) -> Refusal | None:
    """badrcptto, from everybody: tested before the relay is, as badmailfrom (SMTPD-20)."""
    bad = facts.bad_recipients
    if (bad.exact or bad.wild) and bad.has_address(facts.recipient.lower()):
        return Refusal(
            "badrcptto",
            "553 sorry, your envelope recipient is in my badrcptto list (#5.7.1)",
        )
    return None


def not_relayed(facts: RcptFacts) -> Refusal | None:
    """No open relay: the one place that decides it."""
    if facts.needs_relay and not facts.relay_user:
        domain = facts.recipient.rpartition("@")[2]
        text = filled(facts.relay_denied, domain, facts.recipient, facts.client.ip)
        return Refusal("rcpthosts", f"553 {text}")
    return None


def no_mailbox(facts: RcptFacts) -> Refusal | None:
    """Refused here, so that no bounce goes to a forged sender."""
    if facts.local and not facts.mailbox_exists:
        return Refusal("mailbox", "550 sorry, no mailbox here by that name (#5.1.1)")
    return None


def locked(facts: RcptFacts) -> Refusal | None:
    """The mailbox is there and takes nothing (VDM-3)."""
    return Refusal("locked", f"550 {facts.refused}") if facts.refused else None


def may_not_post(facts: RcptFacts) -> Refusal | None:
    """Who may not write to a list hears it here, and nobody gets a bounce."""
    return Refusal("posting", f"550 sorry, {facts.not_posted}") if facts.not_posted else None


def in_hosts(domain: str, hosts: frozenset[str]) -> bool:
    """rcpthosts: `host` itself, or `.suffix` for everything below it."""
    return name_for(hosts, domain) is not None
