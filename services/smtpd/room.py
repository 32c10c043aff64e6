"""Asks local how much an account and its domain hold. Only where one of them has a quota."""

import json
from typing import Any

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus
from tubepost.quota import Used


class Room:
    """Raises Unavailable where local does not know."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def used(self, address: str) -> tuple[Used, Used | None]:
        """By the account, and by its domain: None where that has no quota, or is not counted yet.

        Then the delivery decides.
        """
        answer = json.loads(await self._bus.ask(subjects.QUOTA_ROOM, address.encode()))
        if "used" not in answer:
            raise Unavailable(f"{subjects.QUOTA_ROOM}: local cannot read the mailbox")
        return _used(answer), _used(answer["domain"]) if "domain" in answer else None


def _used(answer: dict[str, Any]) -> Used:
    """A local of an earlier release does not count mails."""
    return Used(int(answer["used"]), int(answer.get("mails", 0)))
