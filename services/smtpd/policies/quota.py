"""Policy on the room a mailbox has. Whether it has any at the delivery is local's to say."""

from services.smtpd.facts import RcptFacts
from services.smtpd.refusal import Refusal

_LATER = Refusal("quota", "452 user is over quota (#4.2.2)")
_NEVER = Refusal("quota", "552 user is over quota (#5.2.2)")


def over_quota(facts: RcptFacts) -> Refusal | None:
    """A mail that just fits is taken (VDM-8). One of unknown size has at least an octet."""
    if not facts.quota or facts.used + max(facts.size, 1) <= facts.quota:
        return None
    return _NEVER if facts.over_quota_is_final else _LATER
