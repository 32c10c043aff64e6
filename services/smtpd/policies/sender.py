"""Policies on the envelope sender."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.sender_patterns import fits

BAD_SENDER = Refusal(
    "badmailfrom", "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
)


def bad_sender(facts: RcptFacts) -> Refusal | None:
    """badmailfrom, tested before the relay is (SMTPD-5, SMTPD-6)."""
    sender = facts.sender.lower()
    domain = "@" + sender.rpartition("@")[2]
    bad = facts.sender_lines.exact
    listed = sender in bad or domain in bad
    if sender and listed and not facts.sender_exempt:
        return BAD_SENDER
    return None


def bad_sender_by_pattern(facts: RcptFacts) -> Refusal | None:
    """badmailfrom's lines with wildcards (SMTPD-20)."""
    wild = facts.sender_lines.wild
    if wild and facts.sender and fits(wild, facts.sender.lower()) and not facts.sender_exempt:
        return BAD_SENDER
    return None
