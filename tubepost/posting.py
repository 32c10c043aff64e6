"""Who may write to a mailing list: one answer for smtpd at RCPT and for local. Pure.

What counts is the envelope sender: it is all that is known at RCPT, and who forges it could forge
`From:` as well.
"""

from tubepost.address import AddressError, parse_address
from tubepost.candidates import RETURN
from tubepost.directory_values import MEMBERS, OPEN, MailingList

NOT_ALLOWED = "you may not write to this list (#5.7.2)"

NO_REPORTS = "a list takes no reports (#5.7.2)"


def may_post(mailing_list: MailingList, sender: str) -> bool:
    """`sender` as in the envelope, a VERP sender by its owner; what another list sends is from that
    list, `news-return-...@` from `news@`. The null sender never may."""
    return not why_not(mailing_list, sender)


def why_not(mailing_list: MailingList, sender: str) -> str:
    """Why `sender` may not write to it; "" = he may."""
    if not sender or sender == "#@[]":
        return NO_REPORTS
    if mailing_list.posting == OPEN:
        return ""
    names = _names(sender)
    if _is_among(names, mailing_list.moderators):
        return ""
    if mailing_list.posting == MEMBERS and _is_among(names, mailing_list.members):
        return ""
    return NOT_ALLOWED


def _names(sender: str) -> set[str]:
    """The sender's address, and that of the list it is a `-return-` address of."""
    local, _, domain = sender.rpartition("@")
    name, found, _ = local.lower().partition(RETURN)
    of_list = {_key(f"{name}@{domain}")} if name and found and not name.startswith('"') else set()
    return {_key(sender), *of_list}


def _is_among(names: set[str], addresses: tuple[str, ...]) -> bool:
    """A list may have ten thousand: what is plain is compared without parsing it."""
    return any(_key(address) in names for address in addresses)


def _key(text: str) -> str:
    """As Address.key; of what is no address, itself."""
    if text.isascii() and '"' not in text:
        return text.lower()
    try:
        return parse_address(text, utf8=True).key
    except AddressError:
        return text
