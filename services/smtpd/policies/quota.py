"""Policy on the room a mailbox and its domain have. What there is at the delivery local says."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.quota import Used


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet."""
    more = Used(max(facts.size, 1), 1)
    if not facts.quota.has_room(facts.used, more):
        return _refusal("user", facts)
    if not facts.domain_quota.has_room(facts.domain_used, more):
        return _refusal("domain", facts)
    return None


def _refusal(of: str, facts: RcptFacts) -> Refusal:
    if facts.over_quota_is_final:
        return Refusal("quota", f"552 {of} is over quota (#5.2.2)")
    return Refusal("quota", f"452 {of} is over quota (#4.2.2)")
