"""Puts a mail into the queue: routes it, gives it its id and its Received field.

The same for SMTP and HTTP. It returns only after the store has the mail.
"""

from dataclasses import dataclass

from tubepost import maillog
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import StoreFull
from tubepost.events import NOBODY, SHOWN, Teller
from tubepost.mailstore import MailStore, new_mail_id
from tubepost.nats_bus import NatsBus
from tubepost.ports import Clock
from tubepost.priority import of_mail
from tubepost.record import Envelope
from tubepost.routing import route
from tubepost.trace_headers import header_of, received

HIGH_WATER = 0.9
"""Share of the store above which no new mail is taken, so that finishing mail always has room."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a mail comes from. `user`: who relays it, "" = nobody had to. `protocol`: RFC 3848.

    `tls`: what it came encrypted with, "" in the clear.
    `submitted`: a user gave it to us, on whatever listener serves users.
    `host`: the client's reverse name, "" = it has none or nobody asked.
    """

    name: str
    client: str
    helo: str
    user: str
    protocol: str
    tls: str = ""
    submitted: bool = False
    host: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`now`: seconds since 1970, as in the reply `250 ok <now> qp <mail_id>`."""

    mail_id: str
    now: int


class Intake:
    """The way into the queue."""

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
        self.store_usage = 0.0

    async def accept(self, envelope: Envelope, body: bytes, source: Source) -> Accepted:
        """Durably takes a mail (CRLF line ends). Raises Unavailable and StoreFull: not taken."""
        if self.store_usage > HIGH_WATER:
            raise StoreFull("the store is above its high-water mark")
        now = self._clock()
        mail_id = new_mail_id(now)
        trace = received(
            client=source.client,
            helo=source.helo,
            user=source.user,
            by=self._control.me,
            protocol=source.protocol,
            mail_id=mail_id,
            now=now,
            tls=source.tls,
            host=source.host,
        )
        domains = self._directory.domains
        routes = [route(address, domains) for address in envelope.recipients]
        priority = of_mail(
            header_of(body),
            submitted=source.submitted,
            recipients=len(envelope.recipients),
        )
        await self._store.accept(
            envelope, routes, trace + body, mail_id=mail_id, now=now, priority=priority
        )
        facts = {
            "sender": envelope.sender,
            "recipients": envelope.recipients[:SHOWN],
            "size": len(trace) + len(body),
            "client": source.client,
            "helo": source.helo,
            "user": source.user,
        }
        logged = {**facts, "host": source.host} if source.host else facts
        maillog.accepted(mail_id, logged, source=source.name, tls=source.tls)
        of = {"count": len(envelope.recipients), "bounce_of": "", "forward_of": ""}
        self._events.emit("accepted", mail_id, at=now, **facts, source=source.name, **of)
        return Accepted(mail_id, int(now))

    async def measure_store(self, bus: NatsBus) -> None:
        """Brings `store_usage` up to date. A store without a limit counts as empty."""
        self.store_usage = await bus.store_usage() or 0.0
