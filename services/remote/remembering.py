"""What an attempt teaches: each refusal gets its kind, and who is gone is not tried again.

It stands between the worker and the courier. With the default settings it costs a mail that is
delivered a look at two settings and a count.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from services.remote.smtp.events import Phase
from services.remote.suppressions import Suppression, Suppressions
from tubepost import maillog, remote_values
from tubepost.control import Control
from tubepost.delivery import Courier, Mail
from tubepost.errors import StoreFull, Unavailable
from tubepost.outcome import Failed, Outcome
from tubepost.ports import Clock
from tubepost.reply_kinds import GONE, SUPPRESSED, named

Outcomes = Mapping[str, Outcome]

MAX_REPLY = 300
"""Characters of a refusal that are remembered."""


class Tried(Protocol):
    """Who counts attempts."""

    def tried(self, destination: str, outcomes: Outcomes, seconds: float) -> None:
        """An attempt is over; it took `seconds`."""
        ...


class Unheard:
    """A Tried that nobody asks."""

    def tried(self, destination: str, outcomes: Outcomes, seconds: float) -> None:
        """See Tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberingCourier:
    """Implements tubepost.delivery.Courier."""

    courier: Courier
    suppressions: Suppressions
    control: Control
    clock: Clock
    counted: Tried = field(default_factory=Unheard)

    async def deliver(self, mail: Mail) -> Outcomes:
        """As the courier's, each deferral and failure with its kind."""
        began = time.monotonic()
        seconds = self.control.get(remote_values.SUPPRESS)
        outcomes = await (self._heeding(mail, seconds) if seconds else self._sent(mail))
        self.counted.tried(mail.destination, outcomes, time.monotonic() - began)
        return outcomes

    async def _sent(self, mail: Mail) -> Outcomes:
        rules = self.control.get(remote_values.REPLYKINDS)
        return named(await self.courier.deliver(mail), rules)

    async def _heeding(self, mail: Mail, seconds: int) -> Outcomes:
        """Only to those who are not known to be gone; who is gone now is known next time."""
        known = await self._known(mail)
        refused: Outcomes = {address: refusal(held) for address, held in known.items()}
        rest = tuple(r for r in mail.recipients if r not in known)
        if not rest:
            return refused
        outcomes = await self._sent(replace(mail, recipients=rest))
        for address, outcome in gone(outcomes).items():
            await self._remember(mail, address, outcome, seconds)
        return {**refused, **outcomes}

    async def _known(self, mail: Mail) -> Mapping[str, Suppression]:
        try:
            return await self.suppressions.of(mail.recipients)
        except Unavailable as error:  # they are tried, as without the setting
            maillog.suppression_failed(mail.key, str(error))
            return {}

    async def _remember(self, mail: Mail, address: str, outcome: Failed, seconds: int) -> None:
        now = self.clock()
        held = Suppression(
            address=address,
            until=now + seconds,
            at=now,
            status=outcome.status,
            reply=outcome.reply[:MAX_REPLY],
            mail_id=mail.key.mail_id,
        )
        try:
            await self.suppressions.add(held)
        except (Unavailable, StoreFull) as error:  # the next mail learns it again
            maillog.suppression_failed(mail.key, str(error))
        else:
            maillog.suppressed(mail.key, address, held.until)


def gone(outcomes: Outcomes) -> dict[str, Failed]:
    """The recipients of whom, and of nobody else, a host said that they are not there.

    What it says to the final dot is about all whom it had taken by then, except in LMTP: who is
    meant is known where one alone has that answer.
    """
    found = {r: o for r, o in outcomes.items() if isinstance(o, Failed) and is_gone(o)}
    at_the_end = Counter(o.reply for o in found.values() if o.phase == Phase.FINAL_DOT)
    return {r: o for r, o in found.items() if o.phase == Phase.RCPT or at_the_end[o.reply] < 2}


def is_gone(outcome: Failed) -> bool:
    """Whether a host said of a recipient that it is not there.

    A reply to DATA is about all recipients of the mail, one to MAIL about its sender.
    """
    one = outcome.phase not in (Phase.MAIL, Phase.DATA)
    return one and outcome.kind in GONE and bool(outcome.reply)


def refusal(held: Suppression) -> Failed:
    """What the sender hears, with the words that were said then."""
    text = (
        "Sorry, this recipient was refused before; that is remembered until "
        f"{_moment(held.until)}. (#{held.status})/On {_moment(held.at)} it was said: {held.reply}"
    )
    return Failed(text=text, status=held.status, kind=SUPPRESSED)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
