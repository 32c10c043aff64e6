"""Runs what mailing lists do: a mail for the list becomes one for all members, one for its owner
goes to the owner. What it looks like is tubepost.list_mail's to say, who may write posting's.

Nobody ever gets a report by way of a list: its mails have `list-return-` as their sender.
"""

import hashlib
import json
from dataclasses import replace

from services.local.branches import did
from services.local.forwarding import AWAY, FULL, Forwarding
from tubepost import dsn, list_mail, posting, verp
from tubepost.delivery import Mail
from tubepost.directory_values import MailingList
from tubepost.errors import StoreFull, Unavailable
from tubepost.outcome import Delivered, Failed, Outcome
from tubepost.record import CHUNK, Envelope, Priority
from tubepost.resolution import Forward, Resolution
from tubepost.trace_headers import delivered_to, delivered_to_in

LOOPING = Failed(
    text="This message is looping: it has been on this list before. (#5.4.6)", status="5.4.6"
)

ROW = 40
"""Octets of JSON in a split record around an address and, once more, its domain; at most."""


class Lists:
    """Part of the courier. `recipient`: as the mail was addressed."""

    def __init__(self, forwarding: Forwarding) -> None:
        self._forwarding = forwarding

    async def post(
        self, mail: Mail, recipient: str, resolution: Resolution, mailing_list: MailingList
    ) -> Outcome:
        """To all members but those the mail has been to: to them it could only come back. A report
        goes to the owner."""
        if not dsn.answerable(mail.sender):
            return await self.to_owner(mail, recipient, resolution, mailing_list)
        why = posting.why_not(mailing_list, verp.owner_for(mail.sender, recipient))
        if why:
            return Failed(text=f"Sorry, {why}", status="5.7.2")
        if list_mail.loops(mailing_list, mail.body):
            return LOOPING
        members, been = list_mail.members(mailing_list), delivered_to_in(mail.body)
        to = tuple(m for m in members if m.lower() not in been) if been else members
        if to:
            return await self._to(to, mail, mailing_list)
        return LOOPING if members else Delivered(text=did())

    async def to_owner(
        self, mail: Mail, recipient: str, resolution: Resolution, mailing_list: MailingList
    ) -> Outcome:
        """As it is, from whom it is: a report keeps the null sender, so nothing comes back."""
        forward = Forward((mailing_list.owner,), resolution.address)
        return await self._forwarding.forward(mail, recipient, resolution, forward)

    async def _to(self, members: tuple[str, ...], mail: Mail, mailing_list: MailingList) -> Outcome:
        """NOTIFY, RET and ENVID end here: what the list sends has its owner for a sender, and the
        author hears that the list has taken it (RFC 3461 5.2.7)."""
        address = mailing_list.address
        wide = mail.smtputf8 or not all(map(str.isascii, (*members, address)))
        envelope = Envelope(list_mail.sender(mailing_list), members, smtputf8=wide)
        body = delivered_to(address) + list_mail.copy(mailing_list, mail.body)
        bulk, name = replace(mail, priority=Priority.BULK), _name(address, members)
        try:
            await self._forwarding.submit(bulk, envelope, body, name, source="list")
        except StoreFull:
            return FULL
        except Unavailable:
            return AWAY
        return Delivered(text=did(forwards=len(members)))


def _name(address: str, members: tuple[str, ...]) -> str:
    """What a retry has again, so that it stores nothing twice: not even where the list has changed
    meanwhile. But what lies in several messages must not be put together from two versions.
    """
    name = f"post {address}"
    rows = 2 * len(json.dumps(members)) + ROW * len(members)
    if rows <= CHUNK:
        return name
    return f"{name} {hashlib.sha256(repr(members).encode()).hexdigest()}"
