"""Policies on clients that may not relay: DNS lists, HELO, and what DNS says of the sender."""

from services.smtpd.facts import Domain, StrangerFacts
from services.smtpd.policies.sender import BAD_SENDER
from services.smtpd.refusal import Refusal


def on_a_list(facts: StrangerFacts) -> Refusal | None:
    """The text is the list's, so that the client learns where to ask (RBL-4)."""
    return Refusal("rbl", facts.listing) if facts.listing else None


def bad_helo(facts: StrangerFacts) -> Refusal | None:
    """badhelo, and helocheck: a HELO that has to be there, or to be the client's own name."""
    helo = facts.rcpt.client.helo.lower()
    check, name = facts.helo_check, facts.name
    if (
        (helo and facts.bad_helo.has(helo))
        or (check != "0" and not helo)
        or (check == "=" and name is not None and helo != name)
        or facts.helo_domain is Domain.MISSING
    ):
        return Refusal(
            "badhelo", "553 sorry, your HELO/EHLO greeting is not accepted here (#5.7.1)"
        )
    if facts.helo_domain is Domain.UNKNOWN:
        return Refusal("badhelo", "451 unable to look up your HELO/EHLO greeting now (#4.4.3)")
    return None


def bad_sender_of_stranger(facts: StrangerFacts) -> Refusal | None:
    """badmailfrom's lines that hold for some clients only (SMTPD-20)."""
    sender, lines = facts.rcpt.sender.lower(), facts.rcpt.sender_lines
    domain = sender.rpartition("@")[2]
    if not sender or facts.rcpt.sender_exempt:
        return None
    if domain in lines.strangers or lines.name_objects(domain, facts.name):
        return BAD_SENDER
    return None


def no_sender_domain(facts: StrangerFacts) -> Refusal | None:
    """mfdnscheck: an answer could not be sent there (RFC 7505 4.1 for a null MX)."""
    if facts.sender_domain is Domain.MISSING:
        return Refusal("mfdnscheck", "553 sorry, your envelope sender domain must exist (#5.1.8)")
    if facts.sender_domain is Domain.UNKNOWN:
        return Refusal("mfdnscheck", "451 DNS temporary failure (#4.4.3)")
    return None
