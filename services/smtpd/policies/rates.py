"""Policies on how much a client does: in a time, over all processes (`smtprates`)."""

from services.smtpd.facts import Client, MailFacts, RcptFacts
from services.smtpd.refusal import Refusal


def too_many_connections(client: Client) -> Refusal | None:
    """Only connections that were let in count: a client that knocks too often gets its rate."""
    if client.load.connections.up:
        return Refusal(
            "rate_connections", "421 too many connections, try again later (#4.7.0)", True
        )
    return None


def too_many_errors(client: Client) -> Refusal | None:
    """Commands that cannot be obeyed, recipients that are not here, guessed passwords."""
    if client.load.errors.up:
        return Refusal("rate_errors", "421 too many errors, try again later (#4.7.0)", True)
    return None


def too_many_mails(facts: MailFacts) -> Refusal | None:
    """Of an address; who has logged in is counted by name."""
    if facts.mails.up:
        return Refusal("rate_mails", "450 too many mails, try again later (#4.7.1)")
    return None


def too_many_submitted(facts: MailFacts) -> Refusal | None:
    """Of a user: a stolen password shall not send for long."""
    if facts.submitted.up:
        return Refusal(
            "rate_submitted", "450 you have sent too many mails, try again later (#4.7.1)"
        )
    return None


def too_many_recipients(facts: RcptFacts) -> Refusal | None:
    """452: those before it get their mail (RFC 5321 4.5.3.1.10)."""
    if facts.recipients.up:
        return Refusal("rate_recipients", "452 too many recipients, try again later (#4.7.1)")
    return None


def too_many_unknown(facts: RcptFacts) -> Refusal | None:
    """Who tried so many names is told no longer which of them exist."""
    if facts.badrcpt.up:
        return Refusal("rate_badrcpt", "450 too many unknown recipients, try again later (#4.7.1)")
    return None


def too_many_relayed(facts: RcptFacts) -> Refusal | None:
    """Of an address that relays because somebody logged in from it (RELAY-12)."""
    if facts.relay_user and facts.relayed.up and not facts.relaying:
        return Refusal(
            "rate_relayed", "450 too many mails relayed for your address, try again later (#4.7.1)"
        )
    return None
