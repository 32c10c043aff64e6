"""Which reports a record owes, about whom, and who gets them (RFC 3461 5.2, SEND-11 to 13). Pure.

What a report looks like is report's.
"""

from dataclasses import dataclass
from enum import StrEnum

from tubepost import dsn, verp
from tubepost.record import Fate, Priority, Recipient, Record, State
from tubepost.subjects import LOCAL


class Action(StrEnum):
    """What a report tells of its recipients; the values of RFC 3464 2.3.3."""

    FAILED = "failed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    DELAYED = "delayed"


@dataclass(frozen=True, slots=True)
class Owed:
    """One report. `report_id` is the same whenever it is made: made twice, it is one mail."""

    action: Action
    report_id: str
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Addressed:
    """Who gets a report, and its own envelope sender. `kind`: single or double."""

    kind: str
    sender: str
    to: str


def addressed(original_sender: str, double_bounce_recipient: str) -> Addressed | None:
    """Where a bounce for a mail from `original_sender` goes; None = a triple bounce, dropped."""
    if original_sender == dsn.DOUBLE_BOUNCE_SENDER:
        return None
    if not original_sender:
        return Addressed("double", dsn.DOUBLE_BOUNCE_SENDER, double_bounce_recipient)
    return Addressed("single", "", verp.owner(original_sender))


def owed(record: Record, mail_id: str, unit: str) -> list[Owed]:
    """The reports a record in state BOUNCE owes."""
    done = Action.DELIVERED if record.channel == LOCAL else Action.RELAYED
    return [
        Owed(action, _report_id(mail_id, unit, letter, record, recipients[0]), recipients)
        for action, letter, recipients in (
            (Action.FAILED, "b", _wanting_failure(record)),
            (done, "d", _of(record, Fate.UNCONFIRMED)),
        )
        if recipients
    ]


def unwanted(record: Record) -> tuple[Recipient, ...]:
    """Those that failed and whose sender asked not to be told."""
    return tuple(r for r in _of(record, Fate.FAILED) if not dsn.wants_failure(r.notify))


def told(record: Record) -> frozenset[str]:
    """Everybody who is settled once the reports of `owed` are in the queue."""
    return frozenset(r.address for r in record.recipients if r.fate in _OPEN)


def warning(record: Record, mail_id: str, unit: str, now: float, after: float) -> Owed | None:
    """The notice of a delay that is due: one for each unit, at the first deferral beyond `after`.

    Not where the next try is due already: that comes first, and its end is seen, too.
    """
    if not (after and record.state is State.PENDING and record.attempts and not record.warned):
        return None
    if now - record.created <= after or record.next_attempt <= now:
        return None
    if record.priority is Priority.BULK or not dsn.answerable(record.sender):
        return None
    late = tuple(r for r in _of(record, Fate.WAITING) if dsn.wants_delay(r.notify))
    return Owed(Action.DELAYED, f"{mail_id}w{unit}", late) if late else None


_OPEN = frozenset({Fate.FAILED, Fate.UNCONFIRMED})


def _wanting_failure(record: Record) -> tuple[Recipient, ...]:
    return tuple(r for r in _of(record, Fate.FAILED) if dsn.wants_failure(r.notify))


def _of(record: Record, fate: Fate) -> tuple[Recipient, ...]:
    return tuple(r for r in record.recipients if r.fate is fate)


def _report_id(mail_id: str, unit: str, letter: str, record: Record, first: Recipient) -> str:
    """Named for the first it is about: nobody is in two such reports of a unit.

    The number of attempts would not do: an operator can give a mail up, or rejuvenate it.
    """
    return f"{mail_id}{letter}{unit}n{record.recipients.index(first)}"
