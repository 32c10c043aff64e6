"""Policy on the room a mailbox has. Whether it has any at the delivery is local's to say."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal
from tubepost.quota import Used


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet."""
    if not facts.fillings:
        return None
    mail = Used(max(facts.size, 1), 1)
    full = next((f.whose for f in facts.fillings if not f.quota.has_room(f.used, mail)), "")
    if not full:
        return None
    if facts.over_quota_is_final:
        return Refusal("quota", f"552 {full} is over quota (#5.2.2)")
    return Refusal("quota", f"452 {full} is over quota (#4.2.2)")
