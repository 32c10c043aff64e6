"""Tells senders what became of their mails: puts reports into the queue. A step may be repeated."""

from services.scheduler import bounce, report
from services.scheduler.bounce import Action, Addressed, Owed
from tubepost import control_values, lifecycle, maillog
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.events import Teller
from tubepost.mailstore import MailStore, MissingBody
from tubepost.ports import Clock
from tubepost.record import Envelope, Held, Priority, Record
from tubepost.routing import route


class Reporter:
    """What is owed is bounce's to say, what it looks like report's."""

    def __init__(
        self,
        store: MailStore,
        control: Control,
        directory: Directory,
        clock: Clock,
        events: Teller,
    ) -> None:
        self._store, self._control = store, control
        self._directory, self._clock, self._events = directory, clock, events

    async def tell(self, held: Held) -> Record | None:
        """Everything that a record owes; then its recipients are settled. The record as it is then.

        Raises Unavailable.
        """
        record = held.record
        for _ in bounce.unwanted(record):
            self._told(held, "", kind="unwanted", to="")
        for owed in bounce.owed(record, held.key.mail_id, held.key.unit):
            await self._send_one(held, owed)
        told = bounce.told(record)
        return await self._store.settle(held, lambda r: lifecycle.after_bounce(r, told))

    def warning(self, held: Held) -> Owed | None:
        """The notice of a delay that is due now, as far as this version of the record says."""
        after = self._control.get(control_values.DELAYWARNING)
        if not after:
            return None  # asked for every record that is seen
        return bounce.warning(held.record, held.key.mail_id, held.key.unit, self._clock(), after)

    async def warn(self, held: Held) -> None:
        """Tells the sender that the mail is late, where that is due. Raises Unavailable."""
        owed = self.warning(held)
        if owed:
            await self._send_one(held, owed)
            await self._store.settle(held, lifecycle.after_warning)

    async def _send_one(self, held: Held, owed: Owed) -> None:
        to = bounce.addressed(held.record.sender, self._control.double_bounce_recipient)
        if to is None:
            self._told(held, "", kind="triple", to="")
            return
        await self._put(held, owed, to)
        kind = to.kind if owed.action is Action.FAILED else owed.action
        self._told(held, owed.report_id, kind=kind, to=to.to)

    def _told(self, held: Held, report_id: str, *, kind: str, to: str) -> None:
        mail_id, unit = held.key.mail_id, held.key.unit
        maillog.bounced(mail_id, report_id, kind=kind, to=to)
        if kind == Action.DELAYED:
            self._events.emit("warned", mail_id, unit=unit, warning=report_id, to=to)
        else:
            self._events.emit("bounced", mail_id, unit=unit, bounce=report_id, kind=kind, to=to)

    async def _put(self, held: Held, owed: Owed, to: Addressed) -> None:
        now, control = self._clock(), self._control
        facts = report.Facts(
            owed=owed,
            mail_id=held.key.mail_id,
            record=held.record,
            me=control.me,
            author=control.bounce_sender,
            to=to.to,
            original=await self._original(held, owed.action),
            max_bytes=control.get(control_values.BOUNCEMAXBYTES),
            now=now,
            lifetime=control.retry_rules.lifetime,
        )
        body = report.build(facts)
        await self._store.accept(
            Envelope(to.sender, (to.to,), smtputf8=not to.to.isascii()),
            [route(to.to, self._directory.domains)],
            body,
            mail_id=owed.report_id,
            now=now,
            priority=Priority.BULK,
        )
        self._accepted(held, owed.report_id, to, len(body), now=now)

    def _accepted(self, held: Held, new_id: str, to: Addressed, size: int, *, now: float) -> None:
        self._events.emit(
            "accepted",
            new_id,
            at=now,
            sender=to.sender,
            recipients=[to.to],
            count=1,
            size=size,
            source="bounce",
            client="",
            helo="",
            user="",
            bounce_of=held.key.mail_id,
            forward_of="",
        )

    async def _original(self, held: Held, action: Action) -> bytes | None:
        """As much of the mail as the report needs; where it is lost the sender still hears."""
        most = self._control.get(control_values.BOUNCEMAXBYTES)
        try:
            if report.returns_whole(held.record, action, most):
                return await self._store.body(held)
            return await self._store.head(held)
        except MissingBody as error:
            maillog.body_lost(held.key, str(error))
            return None
