"""Policy on the room a mailbox and its domain have. What there is at the delivery local says."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.quota import Used


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet."""
    full = _full(facts)
    if not full:
        return None
    code, status = (552, "5.2.2") if facts.over_quota_is_final else (452, "4.2.2")
    return Refusal("quota", f"{code} {full} is over quota (#{status})")


def _full(facts: RcptFacts) -> str:
    more = Used(max(facts.size, 1), 1)
    if not facts.quota.has_room(facts.used, more):
        return "user"
    return "" if facts.domain_quota.has_room(facts.domain_used, more) else "domain"
