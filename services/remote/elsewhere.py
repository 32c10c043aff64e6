"""What is left of a mail when a host has judged some of its recipients and others may be asked of
another one. Pure.

Two things lead here (MailEnd.elsewhere): a session that broke before the host had any of the mail's
content, and a host that lacks what the mail needs: SMTPUTF8, or room for its size.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from services.remote.connection import TryNext
from services.remote.smtp.events import MailEnd
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.record import Envelope


def left_of(envelope: Envelope, end: MailEnd) -> Envelope:
    """For the next host. Who has an answer of this one, good or bad, is not asked about again."""
    return replace(envelope, recipients=tuple(r for r in envelope.recipients if r in end.elsewhere))


def delivers(judged: Mapping[str, Outcome]) -> bool:
    """Whether the queue has to know of these outcomes before another host is asked: should that
    hang, and we be stopped meanwhile, somebody would get the mail twice."""
    return any(isinstance(outcome, Delivered) for outcome in judged.values())


def at_once_elsewhere(end: MailEnd) -> dict[str, Outcome]:
    """Those that are left, deferred until the next attempt, which comes at once: it finds nobody
    else to ask this host about, and goes on to the next one."""
    return {recipient: _at_once(end.outcomes[recipient]) for recipient in end.elsewhere}


def _at_once(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Failed):
        return outcome
    return Deferred(
        text=outcome.text,
        status=f"4{outcome.status[1:]}",
        peer=outcome.peer,
        reply=outcome.reply,
        phase=outcome.phase,
        at_once=True,
    )


def broke(end: MailEnd) -> bool:
    """Whether recipients are left because the session broke, and not for what the host lacks."""
    return any(isinstance(end.outcomes[recipient], Deferred) for recipient in end.elsewhere)


def joined(
    first: TryNext, then: Mapping[str, Outcome] | TryNext
) -> Mapping[str, Outcome] | TryNext:
    """One host, asked twice: by a session that broke, `then` for those that `first` had left."""
    before = first.end.outcomes if first.end else {}
    if not isinstance(then, TryNext):
        return {**before, **then}
    if then.end is None:
        return first
    return replace(then, end=replace(then.end, outcomes={**before, **then.end.outcomes}))


def last_resort(
    recipients: Sequence[str],
    tried: Sequence[TryNext],
    deferral: Callable[[Sequence[TryNext]], Deferred],
) -> dict[str, Outcome]:
    """The outcomes of recipients that no host took.

    A host that lacks SMTPUTF8, or takes no mail of that size, fails a recipient only where all
    others do too: one that was not reached may be better. Another address of a host that was
    reached is not another host.
    """
    return {recipient: _last_resort(recipient, tried, deferral) for recipient in recipients}


def _last_resort(
    recipient: str, tried: Sequence[TryNext], deferral: Callable[[Sequence[TryNext]], Deferred]
) -> Outcome:
    refusals = {id(a): refusal for a in tried if (refusal := _failed(recipient, a))}
    refusing = {attempt.name for attempt in tried if id(attempt) in refusals}
    others = [a for a in tried if id(a) not in refusals and not (a.name and a.name in refusing)]
    if refusals and not others:
        return list(refusals.values())[-1]
    return deferral([_about(recipient, attempt) for attempt in others])


def _about(recipient: str, attempt: TryNext) -> TryNext:
    """The attempt with what it came to for this recipient: for others it may be something else."""
    outcome = attempt.end.outcomes.get(recipient) if attempt.end else None
    if not isinstance(outcome, Deferred):
        return attempt
    return replace(
        attempt,
        reason=outcome.text,
        reply=outcome.reply,
        status=outcome.status,
        phase=outcome.phase,
    )


def _failed(recipient: str, attempt: TryNext) -> Failed | None:
    outcome = attempt.end.outcomes.get(recipient) if attempt.end else None
    return outcome if isinstance(outcome, Failed) else None
