"""Policies on the mail itself: its size, its hops, its line ends. Not on what it says."""

from services.smtpd.facts import DataFacts, MailFacts
from services.smtpd.policies import hostile
from services.smtpd.refusal import Refusal
from tubepost.trace_headers import MAX_HOPS

_TOO_BIG = Refusal("databytes", "552 sorry, that message size exceeds my databytes limit (#5.3.4)")


def declared_too_big(facts: MailFacts) -> Refusal | None:
    """SIZE= of MAIL (RFC 1870 6.1)."""
    return _TOO_BIG if facts.size_limit and facts.size > facts.size_limit else None


def too_big(facts: DataFacts) -> Refusal | None:
    """The octets that came (RFC 1870 6.3)."""
    return _TOO_BIG if facts.too_big else None


def bare_line_ends(facts: DataFacts) -> Refusal | None:
    """SMTP smuggling (SMTPD-10): the session ends, whatever stood behind is not obeyed."""
    if facts.bare_line_ends:
        return hostile.BARE_LF
    return None


def looping(facts: DataFacts) -> Refusal | None:
    """So many hops are a loop (SMTPD-11)."""
    if facts.hops >= MAX_HOPS:
        return Refusal("hops", "554 too many hops, this message is looping (#5.4.6)")
    return None
