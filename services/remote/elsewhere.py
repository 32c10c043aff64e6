"""What is left of a mail when a host has judged some of its recipients and others may be asked of
another one. Pure.

Two things lead here (MailEnd.elsewhere): a session that broke before the host had any of the mail's
content, and a host without SMTPUTF8.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from services.remote.connection import TryNext
from services.remote.events import MailEnd
from tubepost.outcome import Deferred, Failed, Outcome
from tubepost.record import Envelope


def left_of(envelope: Envelope, end: MailEnd) -> Envelope:
    """For the next host. Who has an answer of this one, good or bad, is not asked about again."""
    return replace(envelope, recipients=tuple(r for r in envelope.recipients if r in end.elsewhere))


def last_resort(
    recipients: Sequence[str],
    tried: Sequence[TryNext],
    deferral: Callable[[Sequence[TryNext]], Deferred],
) -> dict[str, Outcome]:
    """The outcomes of recipients that no host took.

    A host that lacks SMTPUTF8 fails a recipient only where all others do too: one that was not
    reached may offer it.
    """
    return {recipient: _last_resort(recipient, tried, deferral) for recipient in recipients}


def _last_resort(
    recipient: str, tried: Sequence[TryNext], deferral: Callable[[Sequence[TryNext]], Deferred]
) -> Outcome:
    refusals = [_failed(recipient, attempt) for attempt in tried]
    others = [attempt for attempt, refusal in zip(tried, refusals, strict=True) if refusal is None]
    last = refusals[-1] if refusals else None
    return last if last is not None and not others else deferral(others)


def _failed(recipient: str, attempt: TryNext) -> Failed | None:
    outcome = attempt.end.outcomes.get(recipient) if attempt.end else None
    return outcome if isinstance(outcome, Failed) else None
