"""Policies on who the client is."""

from services.smtpd.facts import Client, MailFacts, RcptFacts
from services.smtpd.refusal import Refusal


def denied_by_rule(client: Client) -> Refusal | None:
    """A static deny wins over everything, the relay list included (TCP-5)."""
    if not client.rule.allow:
        return Refusal("tcprules", "554 sorry, your address is not allowed here (#5.7.1)", True)
    return None


def not_logged_in(facts: MailFacts) -> Refusal | None:
    """A submission listener serves only those who are logged in (RFC 6409 4.3)."""
    if facts.client.kind.auth_required and not facts.client.user:
        return Refusal("auth_required", "530 Authorization required (#5.7.1)")
    return None


def blocked_by_rule(facts: RcptFacts) -> Refusal | None:
    """RBLSMTPD="text" in tcprules: 451 with that text, 553 where it begins with a dash (RBL-1).

    Who has logged in is not asked, as open-smtp has it.
    """
    text = facts.client.rule.variables.get("RBLSMTPD", "")
    if not text or facts.client.user or facts.relay_user or facts.listed:
        return None
    code, text = (553, text[1:]) if text.startswith("-") else (451, text)
    return Refusal("rblsmtpd", f"{code} {text}")
