"""Asks local how much an account's mails take. Only for accounts that have a quota."""

import json

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus


class Room:
    """Raises Unavailable where local does not know."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def used(self, address: str) -> int:
        """Octets."""
        answer = json.loads(await self._bus.ask(subjects.QUOTA_ROOM, address.encode()))
        if "used" not in answer:
            raise Unavailable(f"{subjects.QUOTA_ROOM}: local cannot read the mailbox")
        return int(answer["used"])
