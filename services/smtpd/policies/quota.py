"""Policy on the room a mailbox and its domain have. What there is at the delivery local says."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.quota import Used

CRLF_SHARE = 5 / 4
"""SIZE counts CRLF, a mailbox LF: so much less is what is stored, where a line has three octets."""


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet.

    One that never fits need not wait, whatever `overquota` says.
    """
    full = _full(facts)
    if not full:
        return None
    quota = facts.quota if full == "user" else facts.domain_quota
    if quota.octets and facts.size > quota.octets * CRLF_SHARE:
        return Refusal("quota", f"552 mail is bigger than the quota of the {full} (#5.2.3)")
    code, status = (552, "5.2.2") if facts.over_quota_is_final else (452, "4.2.2")
    return Refusal("quota", f"{code} {full} is over quota (#{status})")


def _full(facts: RcptFacts) -> str:
    more = Used(max(facts.size, 1), 1)
    if not facts.quota.has_room(facts.used, more):
        return "user"
    return "" if facts.domain_quota.has_room(facts.domain_used, more) else "domain"
