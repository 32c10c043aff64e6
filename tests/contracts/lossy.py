"""Buses that fail in one way: around a real one, or instead of it."""

from collections.abc import Mapping
from typing import cast

from tubepost.errors import Unavailable
from tubepost.ports import Bus


class LosesAcks:
    """A bus whose next `lost` writes are stored, but the acknowledgement never comes."""

    def __init__(self, bus: Bus, lost: int) -> None:
        self._bus, self._lost = bus, lost
        self.read, self.purge, self.tell = bus.read, bus.purge, bus.tell

    async def append(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        msg_id: str | None = None,
        expect: int | None = None,
        replace: bool = False,
    ) -> int:
        seq = await self._bus.append(
            subject, data, headers=headers, msg_id=msg_id, expect=expect, replace=replace
        )
        if self._lost:
            self._lost -= 1
            raise Unavailable("no answer")
        return seq


def losing_acks(bus: Bus, lost: int = 1) -> Bus:
    return cast(Bus, LosesAcks(bus, lost))


class Away:
    """A bus that stores nothing; `error` tells how."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.asked = 0

    async def append(self, subject: str, data: bytes = b"", **_: object) -> int:
        self.asked += 1
        raise self._error
