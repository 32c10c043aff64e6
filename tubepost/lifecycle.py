"""What happens to a record: the state table and the functions that walk it. Pure.

`None` as a new state means that the record is purged. docs/message-lifecycle.md has the same table
with the crash analysis; a test compares the two.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from tubepost import dsn, retry, verp
from tubepost.outcome import RATE_LIMITED, Deferred, Delivered, Failed, Outcome, one_line
from tubepost.record import MAX_REPLY, UNIT_RECIPIENTS, Fate, Note, Recipient, Record, State
from tubepost.retry import Rules
from tubepost.routing import Route

TRANSITIONS: Mapping[State | None, frozenset[State | None]] = {
    None: frozenset({State.PENDING, State.SPLIT}),
    State.PENDING: frozenset(
        {State.PENDING, State.BOUNCE, State.DONE, State.PARKED, State.HELD, None}
    ),
    State.BOUNCE: frozenset({State.PENDING, State.DONE, State.PARKED, None}),
    State.DONE: frozenset({None}),
    State.SPLIT: frozenset({State.GROUP, State.PARKED}),
    State.GROUP: frozenset({None}),
    State.PARKED: frozenset({State.PENDING, State.SPLIT, State.BOUNCE, State.DONE, None}),
    State.HELD: frozenset(
        {State.HELD, State.PENDING, State.BOUNCE, State.DONE, State.PARKED, None}
    ),
}


def after_attempt(
    record: Record,
    outcomes: Mapping[str, Outcome],
    *,
    began: float,
    now: float,
    rules: Rules,
    chance: float = 0.0,
) -> Record:
    """The record after a delivery attempt that began at `began` and ended at `now`.

    A waiting recipient without an outcome counts as deferred: nothing is known about it.
    `chance`, 0 to 1: how late within the jitter the next try comes. What an operator did during
    the attempt stays: a held record is held, one that was given up is as it is.
    """
    if not record.waiting:
        return record
    born, attempts = record.clock_start, record.attempts + 1
    last, answerable = rules.is_last(born, began), dsn.answerable(record.sender)
    recipients = tuple(
        _after_outcome(r, outcomes.get(r.address), last=last, answerable=answerable)
        if r.fate is Fate.WAITING
        else r
        for r in record.recipients
    )
    deferred = [o for o in outcomes.values() if isinstance(o, Deferred)]
    state = _state(recipients)
    still_held = record.state is State.HELD and state is State.PENDING
    return replace(  # once: it takes as long as all the rest
        record,
        state=State.HELD if still_held else state,
        recipients=recipients,
        attempts=attempts,
        next_attempt=now
        if any(o.at_once for o in deferred)
        else rules.next_attempt(born, now, record.channel, attempts, chance),
        unreachable=any(o.no_connection for o in deferred),
        opens=max((o.not_before for o in deferred), default=0.0),
        throttled=any(o.kind == RATE_LIMITED for o in deferred),
        unasked=any(o.unasked for o in deferred),
    )


def _after_outcome(
    recipient: Recipient, outcome: Outcome | None, *, last: bool, answerable: bool
) -> Recipient:
    match outcome:
        case Delivered():
            asked = answerable and dsn.wants_success(recipient.notify)
            fate = Fate.UNCONFIRMED if asked and not outcome.reports else Fate.DELIVERED
            return _said(recipient, fate, outcome.text, outcome)
        case Failed():
            return _said(recipient, Fate.FAILED, outcome.text, outcome)
        case Deferred() if not last or outcome.at_once:
            waiting = _said(recipient, recipient.fate, outcome.text, outcome)
            return _with_done(waiting, recipient.done + outcome.done)
        case Deferred():
            text = outcome.text[: MAX_REPLY - len(retry.EXPIRED) - 1] + "/" + retry.EXPIRED
            return _said(recipient, Fate.FAILED, text, outcome)
        case None:
            return recipient


def _said(recipient: Recipient, fate: Fate, text: str, outcome: Outcome) -> Recipient:
    kind = "" if isinstance(outcome, Delivered) else outcome.kind
    return Recipient(  # each mail comes here, and `replace` takes twice as long
        recipient.address,
        fate,
        _kept(text),
        outcome.status,
        recipient.notify,
        recipient.orcpt,
        kind,
    )


def after_bounce(record: Record, told: Container[str]) -> Record:
    """The record once the reports about the recipients `told` are durably in the queue.

    Only they are settled by it: another owner may have been faster, and others may have failed
    since. Nobody fails while the state is BOUNCE.
    """
    if record.state is not State.BOUNCE:
        return record
    recipients = tuple(
        replace(r, fate=_REPORTED.get(r.fate, r.fate)) if r.address in told else r
        for r in record.recipients
    )
    return _settled(replace(record, recipients=recipients))


def _with_done(recipient: Recipient, done: tuple[str, ...]) -> Recipient:
    """What was done once stays done, also where the next try does not come as far."""
    return replace(recipient, done=tuple(dict.fromkeys(done))) if done else recipient


_REPORTED: Mapping[Fate, Fate] = {
    Fate.FAILED: Fate.BOUNCED,
    Fate.UNCONFIRMED: Fate.DELIVERED,
}
"""Whom a report is owed about, and what becomes of them with it."""


def after_warning(record: Record) -> Record:
    """The record once the sender was told that it is late."""
    return replace(record, warned=True) if record.state is State.PENDING else record


def parked(record: Record, why: str) -> Record:
    """The record set aside: nothing tries it, nothing bounces it, until an operator has looked."""
    recipients = tuple(
        replace(r, reply=_kept(why), kind="") if r.fate is Fate.WAITING else r
        for r in record.recipients
    )
    return replace(record, state=State.PARKED, recipients=recipients)


# --- what an operator does. Each returns the record as it is where it does not apply.


def held(record: Record, note: Note) -> Record:
    """No more tries until it is released."""
    if record.state is not State.PENDING:
        return record
    return replace(record, state=State.HELD, note=note)


def released(record: Record, note: Note) -> Record:
    """A held or parked record goes on where it stood, at once."""
    if record.state not in (State.HELD, State.PARKED):
        return record
    going_on = replace(record, next_attempt=note.at, note=note)
    if record.channel == "":
        return replace(going_on, state=State.SPLIT)
    return _settled(going_on)


def given_up(record: Record, note: Note, why: str) -> Record:
    """Whoever still waits has failed: the sender gets a bounce now."""
    if record.state not in (State.PENDING, State.HELD, State.PARKED) or not record.channel:
        return record
    recipients = tuple(
        replace(r, fate=Fate.FAILED, reply=_kept(why if not r.reply else f"{r.reply}/{why}"))
        if r.fate is Fate.WAITING
        else r
        for r in record.recipients
    )
    return _settled(replace(record, recipients=recipients, note=note))


def rejuvenated(record: Record, note: Note) -> Record:
    """As if it had come just now: its age begins again, and so do its schedule and lifetime."""
    if record.state not in (State.PENDING, State.HELD):
        return record
    return replace(record, born=note.at, attempts=0, next_attempt=note.at, note=note)


def _settled(record: Record) -> Record:
    """The record with the state that its recipients' fates imply."""
    return replace(record, state=_state(record.recipients))


def _state(recipients: Iterable[Recipient]) -> State:
    fates = {r.fate for r in recipients}
    if not fates.isdisjoint(_REPORTED):
        return State.BOUNCE
    return State.PENDING if Fate.WAITING in fates else State.DONE


def split(record: Record, group: int, routes: Iterable[tuple[Recipient, Route]]) -> list[Record]:
    """The units of a mail: one per destination and UNIT_RECIPIENTS, in order of appearance.

    The same input always gives the same units in the same order: a repeat overwrites nothing.
    `group` is the shard that holds the group record. A VERP sender is another one for each
    recipient, and so is the unit.
    """
    size = 1 if verp.is_verp(record.sender) else UNIT_RECIPIENTS
    by_route: dict[Route, list[Recipient]] = {}
    for recipient, route in routes:
        by_route.setdefault(route, []).append(recipient)
    units = []
    for route, recipients in by_route.items():
        for start in range(0, len(recipients), size):
            unit = replace(
                record,
                state=State.PENDING,
                channel=route.channel,
                destination=route.destination,
                recipients=tuple(recipients[start : start + size]),
                group=group,
                count=0,
            )
            units.append(unit)
    return units


def _kept(text: str) -> str:
    return one_line(text, MAX_REPLY)
