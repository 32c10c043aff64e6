"""Policy on the room a mailbox and its domain have. What there is at the delivery local says."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.quota import Used


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet."""
    full = _full(facts)
    if not full:
        return None
    if facts.over_quota_is_final:
        return Refusal("quota", f"552 {full} is over quota (#5.2.2)")
    return Refusal("quota", f"452 {full} is over quota (#4.2.2)")


def _full(facts: RcptFacts) -> str:
    mail = Used(max(facts.size, 1), 1)
    if not facts.quota.has_room(facts.used, mail):
        return "user"
    return "" if facts.domain_quota.has_room(facts.domain_used, mail) else "domain"
