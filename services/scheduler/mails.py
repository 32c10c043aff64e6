"""One mail in full, by the leaders' word: its units whatever their state, its header, its body."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from services.scheduler.listing import PRECEDENCE, UNREADABLE, recipient
from services.scheduler.views import Views
from tubepost.errors import NotFound
from tubepost.mailstore import MailStore, MissingBody
from tubepost.record import Held, State, UnreadableRecord
from tubepost.subjects import SPLIT_UNIT, Key
from tubepost.trace_headers import header_of

Shown = dict[str, Any]
Found = tuple[Key, Held | None, str]
"""A key, its record, or why there is none to be read."""

MAX_HEADER = 64 * 1024
"""Octets of a mail's header that are shown."""

_MAIL_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Mails:
    """Raises NotFound for an id that is not in the queue, and Unavailable."""

    def __init__(self, store: MailStore, views: Views) -> None:
        self._store, self._views = store, views

    async def keys(self, mail_id: str) -> list[Key]:
        """The records of a mail, the group behind its units."""
        found = await self._store.keys_of(mail_id) if _MAIL_ID.fullmatch(mail_id) else []
        if not found:
            raise NotFound(f"there is no mail {mail_id!r} in the queue; see: tubepost qread")
        return sorted(found, key=lambda key: (key.unit == SPLIT_UNIT, len(key.unit), key.unit))

    async def show(self, mail_id: str) -> Shown:
        """All that is known of it."""
        found = await self._read(mail_id)
        records = [held.record for _, held, _ in found if held]
        states = [held.record.state if held else UNREADABLE for _, held, _ in found]
        return {
            "id": mail_id,
            "state": min(states, key=PRECEDENCE.index),
            "created": records[0].created if records else None,
            "size": records[0].size if records else None,
            "sender": records[0].sender if records else None,
            "priority": records[0].priority.name.lower() if records else None,
            "units": await self._units(mail_id, found),
            "headers": await self._headers(found),
        }

    async def body(self, mail_id: str) -> AsyncIterator[bytes]:
        """The mail as it was accepted, piece by piece. NotFound where the first is missing."""
        held = _with_body(await self._read(mail_id))
        if held is None:
            raise NotFound(f"the record of {mail_id} cannot be read, and so its body cannot")
        pieces = self._store.pieces(held)
        try:
            first = await anext(pieces, b"")
        except MissingBody as error:
            raise NotFound(f"the body of {mail_id} is gone: {error}") from error
        return _and_the_rest(first, pieces)

    async def _read(self, mail_id: str) -> list[Found]:
        """What is there; a unit that ended meanwhile is left out."""
        found: list[Found] = []
        for key in await self.keys(mail_id):
            try:
                held = await self._store.read(key)
            except UnreadableRecord as error:
                found.append((key, None, str(error)))
            else:
                found += [(key, held, "")] if held else []
        if not found:
            raise NotFound(f"mail {mail_id!r} has just left the queue")
        return found

    async def _units(self, mail_id: str, found: list[Found]) -> list[Shown]:
        shards = {key.shard for key, _, _ in found}
        stands = {shard: await self._views.stands(shard, mail_id) for shard in shards}
        return [
            await self._unit(key, held, why) | {"stands": stands[key.shard].get(key.unit)}
            for key, held, why in found
        ]

    async def _unit(self, key: Key, held: Held | None, why: str) -> Shown:
        first: Shown = {"unit": key.unit, "shard": key.shard}
        if held is None:
            return first | {"state": UNREADABLE, "why": why, "recipients": []}
        record = held.record
        note = record.note
        return first | {
            "state": record.state,
            "channel": record.channel or None,
            "destination": record.destination or None,
            "attempts": record.attempts,
            "next_attempt": record.next_attempt if record.state is State.PENDING else None,
            "born": record.clock_start,
            "group": record.group,
            "count": record.count or None,
            "note": note and {"by": note.actor, "why": note.why, "at": note.at},
            "recipients": await self._recipients(held),
        }

    async def _recipients(self, held: Held) -> list[Shown]:
        """A mail that is not split yet has them elsewhere."""
        record = held.record
        if record.state is not State.SPLIT and (record.channel or record.state is State.GROUP):
            return [recipient(r, record.channel) for r in record.recipients]
        try:
            routes = await self._store.routes(held)
        except (MissingBody, json.JSONDecodeError, TypeError, ValueError):
            return []
        return [recipient(r, route.channel) for r, route in routes]

    async def _headers(self, found: list[Found]) -> str | None:
        """Up to the empty line; None where no body can be read."""
        held = _with_body(found)
        try:
            first = await anext(self._store.pieces(held), b"") if held else None
        except MissingBody:
            return None
        if first is None:
            return None
        return header_of(first[:MAX_HEADER]).decode(errors="replace").replace("\r\n", "\n")


def _with_body(found: list[Found]) -> Held | None:
    """A record that leads to the body: any that can be read."""
    return next((held for _, held, _ in found if held), None)


async def _and_the_rest(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece
