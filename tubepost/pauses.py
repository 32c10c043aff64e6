"""What sends nothing for now, because an operator said so: all mail, a channel, a destination.

Kept in a bucket: in force on every scheduler as soon as its mirror has it, and after a restart.
"""

from typing import Any

from tubepost import subjects
from tubepost.address import parse_domain
from tubepost.errors import NotFound
from tubepost.keyed import Bucket, Mirror, Value, quoted, unquoted
from tubepost.ports import Bus
from tubepost.record import Note

ALL = "all"

_DESTINATION = "destination."


def key_for(what: str) -> str:
    """The key of `all`, a channel, or a domain. Raises AddressError for anything else."""
    if what in (ALL, *subjects.CHANNELS):
        return what
    return _DESTINATION + quoted(parse_domain(what))


def paused_by(key: str) -> str:
    """What the key is for; the reverse of `key_for`."""
    return unquoted(key.removeprefix(_DESTINATION)) if key.startswith(_DESTINATION) else key


class Pauses:
    """`channels` and `destinations` that send nothing now. `run` keeps them up to date."""

    def __init__(self, bus: Bus) -> None:
        self.channels: frozenset[str] = frozenset()
        self.destinations: frozenset[str] = frozenset()
        self._bucket = Bucket(bus, subjects.PAUSES)
        self.mirror = Mirror(bus, subjects.PAUSES, self._on_change)

    async def run(self) -> None:
        """Follows the bucket for ever; `mirror.loaded` tells when it is there."""
        await self.mirror.run()

    def listed(self) -> list[dict[str, Any]]:
        """Each pause as {what, by, why, at}; `at` in seconds since 1970."""
        values = sorted(self.mirror.values.items())
        return [{"what": paused_by(key), **value} for key, (value, _) in values]

    async def pause(self, what: str, note: Note) -> str:
        """Begins a pause, or gives one a new reason; its name. Raises BadInput, Unavailable."""
        key = key_for(what)
        value = {"by": note.actor, "why": note.why, "at": note.at}
        await self.mirror.seen(await self._bucket.put(key, value))
        return paused_by(key)

    async def resume(self, what: str) -> str:
        """Ends a pause; its name. Raises BadInput (NotFound where there is none), Unavailable."""
        key = key_for(what)
        if await self._bucket.get(key, leader=True) is None:
            raise NotFound(f"{paused_by(key)} is not paused; see: tubepost queue pauses")
        await self.mirror.seen(await self._bucket.put(key, None))
        return paused_by(key)

    def _on_change(self, _key: str, _value: Value | None) -> None:
        keys = self.mirror.values
        self.channels = frozenset(c for c in subjects.CHANNELS if c in keys or ALL in keys)
        self.destinations = frozenset(paused_by(k) for k in keys if k.startswith(_DESTINATION))
