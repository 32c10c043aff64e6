"""Recipients a host did not take because they were too many for one transaction. Pure.

They get a transaction of their own at once (RFC 5321 4.5.3.1.10), as a new attempt: who was
delivered to is in the queue's record by then, whatever becomes of the next one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from services.remote.smtp.events import Phase
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.reply_kinds import kind_of


def at_once_for_the_rest(outcomes: Mapping[str, Outcome]) -> Mapping[str, Outcome]:
    """The outcomes, with those deferred at once who were only too many.

    None is where the host took nobody: asking again would be the same once more. 452 is also what
    a full disk or mailbox gets, so a status that says so rules; 552 is what RFC 821 had for it.
    """
    if len(outcomes) == 1 or not any(isinstance(o, Delivered) for o in outcomes.values()):
        return outcomes
    return {
        recipient: replace(outcome, at_once=True) if _too_many(outcome) else outcome
        for recipient, outcome in outcomes.items()
    }


def not_for_good(outcome: Deferred | Failed) -> Deferred | Failed:
    """One too many is never a reason for a bounce, not even where the host says 552 to it.

    A full mailbox gets 552 as well: its words or its status have to say which of the two it is.
    """
    if not isinstance(outcome, Failed) or not outcome.reply.startswith("552"):
        return outcome
    if outcome.status != "5.5.3" and kind_of(outcome) != "too_many_recipients":
        return outcome
    return Deferred(
        text=outcome.text,
        status="4.5.3",
        peer=outcome.peer,
        reply=outcome.reply,
        phase=Phase.RCPT,
    )


def _too_many(outcome: Outcome) -> TypeGuard[Deferred]:
    match outcome:
        case Deferred(reply=reply, status="4.5.3" | "4.0.0"):
            return reply.startswith(("452", "552"))
    return False
