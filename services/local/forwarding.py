"""Sends mail on: each forward is a new mail in the queue, with an id that a repeat has again.

A delivery that is tried again within the server's duplicate window (10 minutes) so stores nothing
twice, even where what it stored has been delivered meanwhile; later only Recipient.done tells.
"""

import hashlib

from tubepost import maillog
from tubepost.delivery import Mail
from tubepost.directory import Directory
from tubepost.events import NOBODY, SHOWN, Teller
from tubepost.mailstore import MailStore
from tubepost.ports import Clock
from tubepost.record import Envelope
from tubepost.routing import route
from tubepost.subjects import Key


def derived_id(key: Key, name: str) -> str:
    """The id of a mail made from another: as long after many hops as after one.

    It begins as the original's does, so that their events share a subject.
    """
    made = hashlib.sha256(f"{key.mail_id}.{key.unit}.{name.lower()}".encode()).hexdigest()
    return f"{key.mail_id[:23]}f{made[:24]}"


class Forwarding:
    """The way from local back into the queue."""

    def __init__(
        self, store: MailStore, directory: Directory, clock: Clock, events: Teller = NOBODY
    ) -> None:
        self._store, self._directory, self._clock, self._events = store, directory, clock, events

    async def submit(
        self, mail: Mail, envelope: Envelope, body: bytes, name: str, *, source: str = "forward"
    ) -> str:
        """Durably puts a mail made from `mail` into the queue; returns its id.

        `name` tells it from all others that `mail` makes: the action's name and the address.
        `source`: forward or list. Raises Unavailable and StoreFull: a retry is safe.
        """
        now, new_id = self._clock(), derived_id(mail.key, name)
        routes = [route(address, self._directory.domains) for address in envelope.recipients]
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
