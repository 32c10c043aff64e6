"""Sends mail on: each forward is a new mail in the queue, with an id that a repeat has again.

A delivery that is tried again within the server's duplicate window (10 minutes) so stores nothing
twice, even where what it stored has been delivered meanwhile; later only Recipient.done tells.
"""

import hashlib
import re
from dataclasses import replace

from services.local.branches import did
from services.local.envelopes import passes_wishes_on, sent_on
from tubepost import dsn, maillog, srs, verp
from tubepost.address import parse_address
from tubepost.control import Control
from tubepost.delivery import Mail
from tubepost.directory import Directory
from tubepost.errors import BadInput, StoreFull, Unavailable
from tubepost.events import NOBODY, SHOWN, Teller
from tubepost.local_values import SRSDOMAIN, SRSSECRET
from tubepost.mailstore import MailStore
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.ports import Clock
from tubepost.record import CHUNK, Envelope
from tubepost.resolution import Forward, Resolution
from tubepost.routing import route
from tubepost.subjects import LOCAL
from tubepost.trace_headers import delivered_to, delivered_to_in

LOOPING = Failed(
    text="This message is looping: it already has my Delivered-To line. (#5.4.6)", status="5.4.6"
)
FULL = Deferred(text="The queue is full; will forward it later. (#4.3.1)", status="4.3.1")
AWAY = Deferred(text="Unable to forward it now. (#4.3.0)", status="4.3.0")
UNREADABLE = Deferred(
    text="Unable to read srsdomain or srssecret; will forward it later. (#4.3.5)", status="4.3.5"
)


_MADE = re.compile(r".{23}f([0-9a-f]{10})[0-9a-f]{14}")


def derived_id(mail_id: str, name: str) -> str:
    """The id of a mail made from another: as long after many hops as after one.

    It begins as the original's does, so that their events share a subject. However a mail came to
    an address of ours, what that makes of it has one id, and so is made once: aliases that name
    each other would make a mail for each way through them, n! of one. A report is a mail of its
    own, each with what is made of it.
    """
    made = _MADE.fullmatch(mail_id)
    tree = made[1] if made else hashlib.sha256(mail_id.encode()).hexdigest()[:10]
    own = hashlib.sha256(f"{tree} {name.lower()}".encode()).hexdigest()[:14]
    return f"{mail_id[:23]}f{tree}{own}"


class Forwarding:
    """The way from local back into the queue."""

    def __init__(
        self,
        store: MailStore,
        directory: Directory,
        control: Control,
        clock: Clock,
        events: Teller = NOBODY,
    ) -> None:
        self._store, self._directory, self._control = store, directory, control
        self._clock, self._events = clock, events

    async def forward(
        self, mail: Mail, recipient: str, resolution: Resolution, action: Forward
    ) -> Outcome:
        """One new mail to all that `action` names."""
        if self._control.is_unreadable(SRSDOMAIN) or self._control.is_unreadable(SRSSECRET):
            return UNREADABLE
        action = self._not_yet(mail, action)
        if not action.to:
            return LOOPING
        alone = len(resolution.actions) == 1
        envelope = sent_on(mail, recipient, action, alone=alone)
        envelope = replace(envelope, sender=self._rewritten(mail, envelope))
        body = delivered_to(resolution.address) + mail.body
        try:
            await self.submit(mail, envelope, body, f"{action.name} {resolution.address}")
        except StoreFull:
            return FULL
        except Unavailable:
            return AWAY
        return Delivered(
            text=did(forwards=len(envelope.recipients)),
            reports=passes_wishes_on(mail, action, alone=alone),
        )

    def _not_yet(self, mail: Mail, action: Forward) -> Forward:
        """Without whom the mail has been to (VDM-4): to them it could only come back and bounce."""
        seen = delivered_to_in(mail.body)
        if not seen:
            return action
        to = tuple(address for address in action.to if seen.isdisjoint(self._names(address)))
        return replace(action, to=to)

    def _names(self, address: str) -> set[str]:
        """As it is written, and in its domain's own name."""
        try:
            own = self._directory.canonical(parse_address(address, utf8=True))
        except BadInput:
            return {address.lower()}
        return {address.lower(), str(own).lower()}

    def _rewritten(self, mail: Mail, envelope: Envelope) -> str:
        """The sender by SRS, where the mail of a stranger goes out again; else as it is."""
        sender, secrets = envelope.sender, self._control.get(SRSSECRET)
        domain = self._control.get(SRSDOMAIN)
        if not (domain and secrets and self._goes_through(envelope)):
            return sender
        try:
            return self._by_srs(sender, domain, secrets[0])
        except BadInput as error:
            maillog.sender_kept(mail.key.mail_id, sender, str(error))
            return sender

    def _goes_through(self, envelope: Envelope) -> bool:
        """From a sender elsewhere to a recipient elsewhere."""
        if not dsn.answerable(envelope.sender) or verp.is_verp(envelope.sender):
            return False
        return self._is_elsewhere(envelope.sender) and any(
            self._is_elsewhere(address) for address in envelope.recipients
        )

    def _is_elsewhere(self, address: str) -> bool:
        return route(address, self._directory.domains).channel != LOCAL

    def _by_srs(self, sender: str, domain: str, secret: str) -> str:
        """Raises BadInput where that cannot be done."""
        if domain not in self._directory.domains:
            raise BadInput(f"srsdomain {domain} is no domain here: bounces would not come back")
        made = srs.forward(parse_address(sender, utf8=True), domain, secret, self._clock())
        if made is None:
            raise BadInput("it is too long to be rewritten")
        return made

    async def submit(
        self, mail: Mail, envelope: Envelope, body: bytes, name: str, *, source: str = "forward"
    ) -> str:
        """Durably puts a mail made from `mail` into the queue; returns its id.

        `name` tells it from all others that `mail` makes: the action's name and the address.
        `source`: forward or list. Raises Unavailable and StoreFull: a retry is safe.
        """
        now, new_id = self._clock(), derived_id(mail.key.mail_id, name)
        routes = [route(address, self._directory.domains) for address in envelope.recipients]
        if len(body) > CHUNK and not await self._store.claim(new_id, body):
            return new_id  # it has come another way before
        await self._store.accept(
            envelope, routes, body, mail_id=new_id, now=now, priority=mail.priority
        )
        facts = {
            "sender": envelope.sender,
            "recipients": envelope.recipients[:SHOWN],
            "size": len(body),
            "client": "",
            "helo": "",
            "user": "",
            "forward_of": mail.key.mail_id,
        }
        maillog.accepted(new_id, facts, source=source)
        self._events.emit(
            "accepted",
            new_id,
            at=now,
            **facts,
            source=source,
            count=len(routes),
            bounce_of="",
        )
        return new_id
