"""What happened, under /v1/events: the life of one mail, and pages of everything.

Read from the stream, whichever replica is asked. A reader that waits is let go when we stop.
"""

import asyncio
import contextlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query

from tubepost import subjects
from tubepost.admin import protected
from tubepost.errors import BadInput, NotFound, Unavailable
from tubepost.events import decoded
from tubepost.ports import Bus, CaughtUp

PAGE = 1000
"""Events in one answer."""

LONGEST_WAIT = 20.0
"""Seconds an answer may wait for news: less than the command and the gateway wait for us."""

GATHER = 0.25
"""Seconds after the first news until the answer: an answer for each would cost more."""

READING = 10.0
"""Seconds to read what is there."""

Event = dict[str, Any]


class Reader:
    """Reads the stream of events. `stopping`: set when nobody may wait any longer."""

    def __init__(self, bus: Bus, stopping: asyncio.Event) -> None:
        self._bus, self._stopping = bus, stopping

    async def mail(self, mail_id: str) -> list[Event]:
        """All of one mail and of its bounces, by time. Raises NotFound, BadInput, Unavailable."""
        if not re.fullmatch(r"[0-9A-Za-z]{1,200}", mail_id):
            raise BadInput(f"{mail_id!r} is no mail id: give the one behind qp in the reply 250 ok")
        found = await self._read(subjects.mail_events(mail_id), 0, limit=0, wait=0)
        events = [event for event in found if _is_of(event["mail"], mail_id)]
        if not events:
            raise NotFound(f"nothing is known of a mail {mail_id}, or no longer")
        return sorted(events, key=lambda event: float(event["at"]))

    async def page(self, after: int, limit: int, wait: float) -> dict[str, Any]:
        """At most `limit` events behind sequence `after`, and `next`, to go on with.

        Waits up to `wait` seconds where there is none yet. Raises Unavailable.
        """
        found = await self._read(subjects.EVENT_ANY, after, limit=limit, wait=wait)
        return {"events": found, "next": found[-1]["seq"] if found else after}

    async def before(self, *, last: int, since: float | None) -> int:
        """The sequence to read after: `last` events before the end, or the first since then."""
        if since is not None:
            return await self._bus.position(subjects.EVENTS, since=since)
        return max(0, await self._bus.position(subjects.EVENTS) - last)

    async def _read(self, subject: str, after: int, *, limit: int, wait: float) -> list[Event]:
        found: list[Event] = []
        reading = asyncio.create_task(self._fill(found, subject, after, limit, wait))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            return list(found)
        finally:
            for task in (reading, stopping):
                task.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)

    async def _fill(
        self, found: list[Event], subject: str, after: int, limit: int, wait: float
    ) -> None:
        """Adds events to `found` until there are `limit` (0: any number), or no news in time."""
        clock, caught_up = asyncio.get_running_loop().time, False
        try:
            async with (
                asyncio.timeout(READING) as patience,
                contextlib.aclosing(
                    self._bus.follow(subjects.EVENTS, subject, after=after)
                ) as items,
            ):
                async for item in items:
                    if isinstance(item, CaughtUp):
                        if found or not wait:
                            return
                        caught_up = True
                        patience.reschedule(clock() + wait)
                        continue
                    if caught_up and not found:
                        patience.reschedule(clock() + GATHER)
                    found.append({**decoded(item.data), "seq": item.seq})
                    if len(found) == limit:
                        return
        except TimeoutError:
            if not caught_up:
                raise Unavailable("the events cannot be read now") from None


def _is_of(name: str, mail_id: str) -> bool:
    """Whether `name` is that mail, a report of it (`<id>b0n1`), or of that (`<id>b0n1b0n0`)."""
    return name.startswith(mail_id) and not name[len(mail_id) : len(mail_id) + 1].isdigit()


def router(reader: Reader) -> APIRouter:
    """GET /v1/events."""
    routes = protected()

    @routes.get("/events")
    async def events(
        mail: str = "",
        after: Annotated[int | None, Query(ge=0)] = None,
        last: Annotated[int, Query(ge=0)] = PAGE,
        since: float | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE,
        wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0,
    ) -> dict[str, Any]:
        """`mail`: the life of one mail and of its bounces. Else a page of all events.

        A page begins after sequence `after`, at the instant `since`, or `last` events before the
        end; go on with `after` = `next` of the answer. `wait`: seconds to wait for the first one.
        """
        if mail:
            return {"events": await reader.mail(mail)}
        begin = await reader.before(last=last, since=since) if after is None else after
        return await reader.page(begin, limit, wait)

    return routes
