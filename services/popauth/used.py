"""How much of a quota is used: local knows, popauth asks it."""

import json
from dataclasses import dataclass

from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus


@dataclass(frozen=True, slots=True)
class Room:
    """None = local does not know."""

    octets: int | None = None
    mails: int | None = None


class Used:
    """What `quota.room` says of an account or a domain."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of(self, name: str) -> Room:
        """A local that is away knows nothing: the quota can be shown all the same."""
        try:
            answer = json.loads(await self._bus.ask(subjects.QUOTA_ROOM, name.encode()))
        except Unavailable:
            return Room()
        return Room(answer.get("used"), answer.get("mails"))
