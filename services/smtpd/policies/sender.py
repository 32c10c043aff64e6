"""Policies on the envelope sender."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal


def bad_sender(facts: RcptFacts) -> Refusal | None:
    """badmailfrom, tested before the relay is (SMTPD-5, SMTPD-6)."""
    sender = facts.sender.lower()
    domain = "@" + sender.rpartition("@")[2]
    if sender and (sender in facts.bad_senders or domain in facts.bad_senders):
        return Refusal(
            "badmailfrom",
            "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
        )
    return None
