"""Questions about the queue, asked of and answered by the owners of its shards over the bus.

A replica knows its own shards only; whoever is asked by HTTP asks every owner. Answers come from an
owner's memory, are small and take no time: what has to be true is read from the leaders instead.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from services.scheduler import listing, summary
from services.scheduler.filters import Filter
from services.scheduler.owner import Owner
from tubepost import subjects
from tubepost.errors import Unavailable
from tubepost.ports import Bus
from tubepost.subjects import Key

Answer = dict[str, Any]

FLUSHED = 2_000
"""Units one question makes due: some 30 ms of an owner's time."""

SLICES = 100
"""Questions to one owner for one summary: a million units, some seconds of its time in slices."""

TROUBLES = 1_000
"""Destinations in one answer: those with the longest lines."""


class Views:
    """`answer` for the shards that are ours, the rest for whoever asks."""

    def __init__(self, bus: Bus, shards: int, owners: Mapping[int, Owner]) -> None:
        self._bus, self.shards, self._owners = bus, shards, owners

    async def answer(self, subject: str, data: bytes) -> bytes | None:
        """Answers `ctl.<shard>.<what>` for a shard that is ours."""
        _, number, what = subject.split(".")
        owner = self._owners.get(int(number))
        if owner is None or not owner.loaded or what not in _ANSWERS:
            return None  # its owner answers, or nobody does
        return json.dumps(_ANSWERS[what](owner, json.loads(data))).encode()

    async def counts(self) -> Answer:
        """See listing.counts; of all shards. Raises Unavailable."""
        return listing.summed(await self._ask_all("counts", {}))

    async def page(
        self, chosen: Filter, after: str, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Mails behind a cursor, oldest first, and the next cursor. Raises Unavailable."""
        question = {"filter": chosen.given(), "after": after, "limit": limit}
        return listing.merged(await self._ask_all("list", question), limit)

    async def keys(
        self, shard: int, chosen: Filter, after: str, *, until: float, limit: int
    ) -> tuple[list[Key], str]:
        """The units of a shard that match, and the cursor behind them. Raises Unavailable."""
        question = {"filter": chosen.given(), "after": after, "until": until, "limit": limit}
        answer = await self._ask(shard, "keys", question)
        return [Key(shard, *pair) for pair in answer["keys"]], answer["end"]

    async def flush(
        self, shard: int, chosen: Filter, after: str, *, until: float
    ) -> tuple[int, int, str]:
        """Makes due what matches: (matched, made due, cursor behind). Raises Unavailable."""
        await self._open_hosts("")
        question = {"filter": chosen.given(), "after": after, "until": until, "limit": FLUSHED}
        answer = await self._ask(shard, "flush", question)
        return answer["matched"], len(answer["due"]), answer["end"]

    async def flush_units(self, keys: list[Key]) -> set[Key]:
        """Makes these due, as far as they wait for their time: which did. Raises Unavailable."""
        due: set[Key] = set()
        await self._open_hosts("")
        for shard in {key.shard for key in keys}:
            units = [[key.mail_id, key.unit] for key in keys if key.shard == shard]
            answer = await self._ask(shard, "flush", {"units": units})
            due |= {Key(shard, *pair) for pair in answer["due"]}
        return due

    async def troubles(self) -> list[Answer]:
        """Destinations that do not get all they could use, the longest line first."""
        each = await self._ask_all("troubles", {})
        found = [trouble for one in each for trouble in one["troubles"]]
        return sorted(found, key=lambda trouble: -trouble["waiting"])

    async def destination(self, name: str) -> Answer:
        """See summary.whole. Raises Unavailable."""
        each = (self._summary(shard, name) for shard in range(self.shards))
        return summary.whole(await asyncio.gather(*each))

    async def _summary(self, shard: int, name: str) -> list[Answer]:
        parts: list[Answer] = []
        after = ""
        while not parts or (after and len(parts) < SLICES):
            found = sum(part["units"] for part in parts)
            question = {"name": name, "after": after, "found": found}
            parts.append(await self._ask(shard, "summary", question))
            after = parts[-1]["end"]
        return parts

    async def reopen(self, destination: str) -> None:
        """Ends a destination's back-off, in whatever shard it is. Raises Unavailable."""
        await self._open_hosts(destination)
        await self._ask_all("reopen", {"destination": destination})

    async def _open_hosts(self, destination: str) -> None:
        """Before it is tried at once its hosts, or all, must be open (SEND-18)."""
        with contextlib.suppress(Unavailable):  # no remote is there: nothing is tried, either
            await self._bus.ask(subjects.HOSTS_RESET, destination.encode(), seconds=3)

    async def stands(self, shard: int, mail_id: str) -> dict[str, str]:
        """Where the units of a mail stand, by unit; empty where no owner can say."""
        try:
            return await self._ask(shard, "stands", {"id": mail_id})
        except Unavailable:
            return {}

    async def _ask_all(self, what: str, question: Answer) -> list[Answer]:
        return await asyncio.gather(
            *(self._ask(shard, what, question) for shard in range(self.shards))
        )

    async def _ask(self, shard: int, what: str, question: Answer) -> Answer:
        try:
            data = json.dumps(question).encode()
            answer: Answer = json.loads(
                await self._bus.ask(subjects.view(shard, what), data, seconds=3)
            )
        except Unavailable as error:
            raise Unavailable(f"shard {shard} of the queue has no scheduler now") from error
        return answer


def _counts(owner: Owner, _question: Answer) -> Answer:
    return listing.counts(owner.sight())


def _list(owner: Owner, question: Answer) -> Answer:
    chosen, after = Filter(**question["filter"]), listing.place_of(question["after"])
    return listing.page(owner.sight(), chosen, after, question["limit"])


def _keys(owner: Owner, question: Answer) -> Answer:
    found, end = _found(owner, question)
    return {"keys": _pairs(found), "end": end}


def _found(owner: Owner, question: Answer) -> tuple[list[Key], str]:
    chosen, after = Filter(**question["filter"]), listing.place_of(question["after"])
    until, limit = question["until"], question["limit"]
    return listing.keys(owner.sight(), chosen, after, until=until, limit=limit)


def _flush(owner: Owner, question: Answer) -> Answer:
    if "units" in question:
        number = owner.number
        found, end = [Key(number, *pair) for pair in question["units"]], ""
    else:
        found, end = _found(owner, question)
    return {"matched": len(found), "due": _pairs(owner.flush(found)), "end": end}


def _troubles(owner: Owner, _question: Answer) -> Answer:
    found = sorted(owner.shard.troubles(), key=lambda trouble: -trouble.waiting)
    return {"troubles": [asdict(trouble) for trouble in found[:TROUBLES]]}


def _summary(owner: Owner, question: Answer) -> Answer:
    return summary.part(owner.sight(), question["name"], question["after"], question["found"])


def _reopen(owner: Owner, question: Answer) -> Answer:
    owner.reopen(question["destination"])
    return {}


def _stands(owner: Owner, question: Answer) -> Answer:
    sight = owner.sight()
    units = sight.shard.of_mail(question["id"])
    return {held.key.unit: listing.stands(sight, listing.Entry(held.key, held)) for held in units}


def _pairs(keys: list[Key]) -> list[list[str]]:
    return [[key.mail_id, key.unit] for key in keys]


_ANSWERS: Mapping[str, Callable[[Owner, Answer], Answer]] = {
    "counts": _counts,
    "list": _list,
    "keys": _keys,
    "flush": _flush,
    "stands": _stands,
    "troubles": _troubles,
    "summary": _summary,
    "reopen": _reopen,
}
