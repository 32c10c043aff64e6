"""One copy of a mail in a mailbox, though several of its recipients are that mailbox's: joe@ and
joe-lists@ of one RCPT dialogue. qmail makes two.

It says what the first of them, in the order of the mail, would say, so that every try writes the
same file; its quota is booked once. Recipients of two domains are two deliveries: there is a copy
from each.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable

from tubepost.outcome import Outcome
from tubepost.resolution import Resolution, Store


class Copies:
    """Of one delivery, whose recipients were `found` to be these; an Outcome is none."""

    def __init__(self, found: Iterable[Resolution | Outcome]) -> None:
        self._first: dict[str, str] = {}
        self._written: dict[str, asyncio.Task[Outcome]] = {}
        for each in found:
            if not isinstance(each, Resolution):
                continue
            for action in each.actions:
                if isinstance(action, Store):
                    self._first.setdefault(action.account.home, each.address)

    async def once(
        self, home: str, write: Callable[[str], Coroutine[None, None, Outcome]]
    ) -> Outcome:
        """What became of the one copy. `write` is called with the address it is for."""
        if home not in self._written:
            self._written[home] = asyncio.create_task(write(self._first[home]))
        return await self._written[home]
