"""scheduler's resources under /v1: the queue as qmail-qstat and qmail-qread show it.

A replica knows its own shards; for the whole it asks every shard's owner over the bus.
"""

import heapq
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.scheduler.owner import Owner
from tubepost import subjects
from tubepost.admin import protected
from tubepost.errors import Unavailable
from tubepost.ports import Bus
from tubepost.record import Fate, Held, State

PAGE = 200
"""Mails in one answer."""

ANSWER = 400_000
"""Octets of one answer of a shard, so that with one wide mail more it fits a message of 1 MB."""


class Views:
    """Questions about the queue, asked of and answered by the owners."""

    def __init__(self, bus: Bus, shards: int, owners: Mapping[int, Owner]) -> None:
        self._bus, self._shards, self._owners = bus, shards, owners

    async def answer(self, subject: str, data: bytes) -> bytes | None:
        """Answers `ctl.<shard>.<what>` for a shard that is ours."""
        _, number, what = subject.split(".")
        owner = self._owners.get(int(number))
        if owner is None or not owner.loaded:
            return None  # its owner answers, or nobody does
        units = owner.shard.units.values()
        question = json.loads(data)
        answer = counts(units) if what == "counts" else page(units, **question)
        return json.dumps(answer).encode()

    async def counts(self) -> dict[str, int]:
        """Mails in the queue, and those not split yet. Raises Unavailable."""
        each = [await self._ask(shard, "counts", {}) for shard in range(self._shards)]
        return {name: sum(one[name] for one in each) for name in ("messages", "unprocessed")}

    async def page(self, after: str, limit: int) -> list[dict[str, Any]]:
        """Mails after that id, oldest first. Raises Unavailable."""
        question = {"after": after, "limit": limit}
        each = [await self._ask(shard, "list", question) for shard in range(self._shards)]
        end = min((one["end"] for one in each if one["end"]), default="~")
        units = [unit for one in each for unit in one["units"] if unit["id"] <= end]
        return _merged(units)[:limit]

    async def _ask(self, shard: int, what: str, question: dict[str, Any]) -> dict[str, Any]:
        try:
            data = json.dumps(question).encode()
            answer: dict[str, Any] = json.loads(
                await self._bus.ask(subjects.view(shard, what), data, seconds=3)
            )
        except Unavailable as error:
            raise Unavailable(f"shard {shard} of the queue has no scheduler now") from error
        return answer


def router(views: Views) -> APIRouter:
    """GET /v1/queue, GET /v1/queue/counts."""
    routes = protected()

    @routes.get("/queue/counts")
    async def queue_counts() -> dict[str, int]:
        """messages: mails in the queue; unprocessed: those not split yet."""
        return await views.counts()

    @routes.get("/queue")
    async def queue(
        after: str = "", limit: Annotated[int, Query(ge=1, le=PAGE)] = PAGE
    ) -> list[dict[str, Any]]:
        """A page of mails, oldest first; go on with `after` = the last one's id."""
        return await views.page(after, limit)

    return routes


def counts(units: Iterable[Held]) -> dict[str, int]:
    """A group counts once, its units do not."""
    states = [held.record.state for held in units if held.record.group is None]
    return {"messages": len(states), "unprocessed": states.count(State.SPLIT)}


def page(units: Iterable[Held], after: str, limit: int) -> dict[str, Any]:
    """Units of the first mails after an id: at most `limit` mails and about ANSWER octets.

    `end`: the last id this answer is complete up to, "" where there is nothing more.
    """
    by_mail: dict[str, list[Held]] = {}
    for held in units:
        if held.key.mail_id > after:
            by_mail.setdefault(held.key.mail_id, []).append(held)
    found: list[dict[str, Any]] = []
    room = ANSWER
    ids = heapq.nsmallest(limit, by_mail)
    for n, mail_id in enumerate(ids):
        shown = [_shown(held) for held in by_mail[mail_id]]
        room -= len(json.dumps(shown))
        if room < 0 and n:
            return {"units": found, "end": ids[n - 1]}
        found += shown
    return {"units": found, "end": ids[-1] if len(by_mail) > len(ids) else ""}


def _shown(held: Held) -> dict[str, Any]:
    record = held.record
    return {
        "id": held.key.mail_id,
        "created": record.created,
        "size": record.size,
        "sender": record.sender,
        "state": record.state,
        "recipients": [
            {
                "address": r.address,
                "channel": record.channel,
                "done": r.fate in (Fate.DELIVERED, Fate.BOUNCED),
                "attempts": record.attempts,
                "next_attempt": record.next_attempt,
                "reply": r.reply,
            }
            for r in record.recipients
        ],
    }


def _merged(units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each mail, with the recipients of all its units."""
    mails: dict[str, dict[str, Any]] = {}
    for unit in sorted(units, key=lambda u: str(u["id"])):
        mail = mails.setdefault(unit["id"], {**unit, "recipients": []})
        mail["recipients"] += unit["recipients"]
        if unit["state"] == State.BOUNCE:
            mail["state"] = State.BOUNCE
    return list(mails.values())
