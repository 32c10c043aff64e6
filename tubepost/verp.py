"""Variable envelope return paths as qmail-send makes them (senderadd, injectbounce; SEND-13). Pure.

A mail with the sender `list-@host-@[]` goes to `user@rhost` with the sender `list-user=rhost@host`,
so that a bounce says whom it is about. Bounces of our own go to `list-@host`.
"""

import re

from tubepost.address import MAX_LOCAL, Address, parse_address

ENDING = "-@[]"


def parse_sender(text: str, *, utf8: bool = False) -> str:
    """An envelope sender that is not null, as it goes on the wire. Raises AddressError."""
    if is_verp(text):
        return str(parse_address(owner(text), utf8=utf8)) + ENDING
    return str(parse_address(text, utf8=utf8))


def is_verp(sender: str) -> bool:
    """Whether each recipient gets the mail from a sender of its own."""
    return sender.endswith(ENDING)


def owner(sender: str) -> str:
    """Who gets the reports about a mail from `sender`."""
    return sender.removesuffix(ENDING)


def sender_for(sender: str, recipient: str) -> str:
    """The sender with which a mail from `sender` goes to `recipient`; both as on the wire.

    Where that is too long for an address it is the owner: a bounce must find its way back.
    """
    box, at, host = owner(sender).rpartition("@")
    recipient_box, recipient_at, recipient_host = recipient.rpartition("@")
    if not (is_verp(sender) and at and recipient_at):
        return sender
    local = f"{_bare(box)}{_bare(recipient_box)}={recipient_host}"
    return str(Address(local, host)) if len(local.encode()) <= MAX_LOCAL else owner(sender)


def owner_for(sender: str, recipient: str) -> str:
    """Of whom `sender_for` made the sender with which a mail came to `recipient`; else the sender
    itself.
    """
    box, _, host = sender.rpartition("@")
    recipient_box, _, recipient_host = recipient.rpartition("@")
    local, ending = _bare(box), f"{_bare(recipient_box)}={recipient_host}"
    if not local.lower().endswith(ending.lower()) or len(local) == len(ending):
        return sender
    return str(Address(local[: -len(ending)], host))


def _bare(local: str) -> str:
    """A local part without its quotes: they belong around the whole of the new one."""
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local
