"""Runs what mailing lists do: a mail for the list becomes one for all members, one for its owner
goes to the owner. What it looks like is tubepost.list_mail's to say, who may write posting's.

Nobody ever gets a report by way of a list: its mails have `list-return-` as their sender.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from services.local.forwarding import Forwarding
from tubepost import dsn, list_mail, posting
from tubepost.delivery import Mail
from tubepost.directory_values import MailingList
from tubepost.outcome import Delivered, Failed, Outcome
from tubepost.record import CHUNK, Envelope, Priority
from tubepost.resolution import Forward
from tubepost.trace_headers import delivered_to

LOOPING = "This message is looping: it has been on this list before. (#5.4.6)"

SendOn = Callable[[Mail, Forward], Awaitable[Outcome]]
"""Runs a Forward."""

ROW = 40
"""Octets of JSON in a split record around an address and, once more, its domain; at most."""


class Lists:
    """Part of the courier. Raises what Forwarding.submit raises."""

    def __init__(self, forwarding: Forwarding, send_on: SendOn) -> None:
        self._forwarding, self._send_on = forwarding, send_on

    async def post(self, mail: Mail, mailing_list: MailingList, address: str) -> Outcome:
        """To all members. `address`: what the mail was for. A report goes to the owner instead."""
        if not dsn.answerable(mail.sender):
            return await self.to_owner(mail, mailing_list, address)
        why = posting.why_not(mailing_list, mail.sender)
        if why:
            return Failed(text=f"Sorry, {why}", status="5.7.2")
        if list_mail.loops(mailing_list, mail.body):
            return Failed(text=LOOPING, status="5.4.6")
        members = list_mail.members(mailing_list)
        if not members:
            return Delivered(text="did_0+0+0/")
        return await self._distribute(mail, mailing_list, members, address)

    async def to_owner(self, mail: Mail, mailing_list: MailingList, address: str) -> Outcome:
        """As it is, from whom it is: a report keeps the null sender, so nothing comes back."""
        return await self._send_on(mail, Forward((mailing_list.owner,), address))

    async def _distribute(
        self, mail: Mail, mailing_list: MailingList, members: tuple[str, ...], address: str
    ) -> Outcome:
        """NOTIFY, RET and ENVID end here: what the list sends has its owner for a sender, and the
        author hears that the list has taken it (RFC 3461 5.2.7)."""
        smtputf8 = mail.smtputf8 or not all(map(str.isascii, (*members, address)))
        envelope = Envelope(list_mail.sender(mailing_list), members, smtputf8=smtputf8)
        body = delivered_to(address) + list_mail.copy(mailing_list, mail.body)
        new_id = await self._forwarding.submit(
            replace(mail, priority=Priority.BULK),
            envelope,
            body,
            _name(address, members, body),
            source="list",
        )
        return Delivered(text=f"did_0+{len(members)}+0/qp {new_id}/")


def _name(address: str, members: tuple[str, ...], body: bytes) -> str:
    """What a retry has again, so that it stores nothing twice: not even where the list has changed
    meanwhile. But what lies in several messages must not be put together from two versions.
    """
    name = f"post {address}"
    rows = 2 * len(json.dumps(members)) + ROW * len(members)
    if len(body) <= CHUNK and rows <= CHUNK:
        return name
    return f"{name} {hashlib.sha256(repr(members).encode() + body).hexdigest()}"
