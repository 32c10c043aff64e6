"""Who may write to a mailing list: one answer for smtpd at RCPT and for local. Pure.

What counts is the envelope sender: it is all that is known at RCPT, and who forges it could forge
`From:` as well.
"""

from tubepost.address import AddressError, parse_address
from tubepost.directory_values import MEMBERS, OPEN, MailingList

NOT_ALLOWED = "you may not write to this list (#5.7.2)"

NO_REPORTS = "a list takes no reports (#5.7.2)"


def may_post(mailing_list: MailingList, sender: str) -> bool:
    """`sender` as in the envelope, a VERP sender by its owner. The null sender never may."""
    return not why_not(mailing_list, sender)


def why_not(mailing_list: MailingList, sender: str) -> str:
    """Why `sender` may not write to it; "" = he may."""
    if not sender or sender == "#@[]":
        return NO_REPORTS
    if mailing_list.posting == OPEN:
        return ""
    if _is_among(sender, mailing_list.moderators):
        return ""
    if mailing_list.posting == MEMBERS and _is_among(sender, mailing_list.members):
        return ""
    return NOT_ALLOWED


def _is_among(sender: str, addresses: tuple[str, ...]) -> bool:
    """A list may have ten thousand: what is plain is compared without parsing it."""
    wanted = _key(sender)
    return any(_key(address) == wanted for address in addresses)


def _key(text: str) -> str:
    """As Address.key; of what is no address, itself."""
    if text.isascii() and '"' not in text:
        return text.lower()
    try:
        return parse_address(text, utf8=True).key
    except AddressError:
        return text
