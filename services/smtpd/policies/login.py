"""Policies on who is logged in: the sender must be his, where a setting wants it (AUTH-7)."""

from services.smtpd.facts import MailFacts, RcptFacts, Sending
from services.smtpd.refusal import Refusal

_REPLY = "553 sorry, invalid sender address specified (#5.7.1)"  # SPAMCONTROL's words


def not_the_sender_of_the_login(facts: MailFacts) -> Refusal | None:
    """`authmailfrom`: a stolen password is not good for every name of the house."""
    return None if _allowed(facts.sending) else Refusal("authmailfrom", _REPLY)


def not_the_sender_of_the_relay_list(facts: RcptFacts) -> Refusal | None:
    """`relaymailfrom`: whoever shares the address of a login may only send as its user."""
    return None if _allowed(facts.sending) else Refusal("relaymailfrom", _REPLY)


def _allowed(sending: Sending | None) -> bool:
    """The null sender is everybody's: reports and receipts have it (RFC 5321 4.5.5)."""
    if sending is None or not sending.sender:
        return True
    if sending.limit == "account":
        return sending.owner.lower() == sending.user.lower()
    return _domain(sending.sender) == _domain(sending.user)


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
