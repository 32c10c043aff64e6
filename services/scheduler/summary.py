"""What the queue holds for one destination, and what its owner knows of it. Pure.

A part looks at SCAN units at most, so that no question holds an owner up; parts of a shard, and the
shards, are joined by `whole`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from services.scheduler.destination import START
from services.scheduler.listing import SCAN, Entry, Sight, cursor_of, place_of, stands
from services.scheduler.served import Trouble
from tubepost.destination_limits import lookup
from tubepost.record import Fate, Held, Recipient
from tubepost.subjects import CHANNELS

REPLIES = 5
"""Last replies that are told, those of the most recipients."""

KEPT = 100
"""Different replies that are kept while counting."""

Shown = dict[str, Any]


class _Count:
    """What has been seen of a destination's units."""

    def __init__(self) -> None:
        self.units = 0
        self.attempts = 0
        self.oldest: float | None = None
        self.next: float | None = None
        self.stands: dict[str, Shown] = {}
        self.replies: dict[str, Shown] = {}

    def add(self, held: Held, where: str) -> None:
        record = held.record
        self.units += 1
        self.attempts = max(self.attempts, record.attempts)
        self.oldest = min(filter(None, (self.oldest, record.created)))
        if where == "waiting":
            self.next = min(filter(None, (self.next, record.next_attempt)))
        if where in self.stands:
            self.stands[where]["units"] += 1
        else:
            self.stands[where] = {"units": 1, "first": _first(held)}
        for recipient in record.recipients:
            if recipient.reply and recipient.fate in (Fate.WAITING, Fate.FAILED):
                self._said(recipient, record.attempts)

    def _said(self, recipient: Recipient, attempts: int) -> None:
        known = self.replies.get(recipient.reply)
        if known is not None:
            known["recipients"] += 1
            known["attempts"] = max(known["attempts"], attempts)
        elif len(self.replies) < KEPT:
            self.replies[recipient.reply] = {
                "reply": recipient.reply,
                "status": recipient.status,
                "recipients": 1,
                "attempts": attempts,
                "address": recipient.address,
            }


def _first(held: Held) -> Shown:
    """The oldest one, as an example."""
    note = held.record.note
    replies = (r.reply for r in held.record.recipients if r.reply)
    return {
        "id": held.key.mail_id,
        "note": note and {"by": note.actor, "why": note.why, "at": note.at},
        "reply": next(replies, ""),
    }


def part(sight: Sight, name: str, after: str, found: int) -> Shown:
    """The next units of a shard for the destination `name`. `found`: how many were told before.

    `end`: the cursor to go on with, "" where there is nothing more.
    """
    count = _Count()
    wanted = sum(sight.shard.tally.units_to(channel, name) for channel in CHANNELS) - found
    end = _counted(sight, name, after, count, wanted) if wanted > 0 else ""
    return {
        "units": count.units,
        "stands": count.stands,
        "oldest": count.oldest,
        "next": count.next,
        "attempts": count.attempts,
        "replies": list(count.replies.values()),
        "known": sight.shard.known(name) is not None,
        "state": asdict(sight.shard.known(name) or _nothing_known(sight, name)),
        "channels": {
            c: {"out": sight.shard.used(c), "slots": sight.limits.of(c)} for c in CHANNELS
        },
        "end": end,
    }


def _counted(sight: Sight, name: str, after: str, count: _Count, wanted: int) -> str:
    mail_id, unit = place_of(after)
    place = (mail_id, unit)
    rest = sorted(sight.shard.of_mail(mail_id), key=lambda held: held.key.unit)
    behind = (held for held in rest if held.key.unit > unit)
    for seen, held in enumerate(chain(behind, sight.shard.in_order(mail_id))):
        if seen == SCAN:
            return cursor_of(place)
        place = (held.key.mail_id, held.key.unit)
        if held.record.destination == name:
            count.add(held, stands(sight, Entry(held.key, held)))
            if count.units == wanted:
                return ""
    return ""


def _nothing_known(sight: Sight, name: str) -> Trouble:
    """As a destination begins."""
    limit = lookup(sight.limits.destinations, name)
    return Trouble(
        name=name,
        limit=limit.concurrency,
        rate=limit.rate,
        window=min(START, limit.concurrency),
        until=0.0,
        failures=0,
        error="",
        out=0,
        waiting=0,
        paused=name in sight.limits.paused,
    )


def whole(shards: Sequence[Sequence[Mapping[str, Any]]]) -> Shown:
    """The parts of every shard as one; `complete`: whether every unit was looked at."""
    parts = [one for shard in shards for one in shard]
    lasts = [shard[-1] for shard in shards]
    best = max(lasts, key=lambda one: (one["known"], one["state"]["out"], one["state"]["waiting"]))
    return {
        "state": best["state"],
        "units": sum(one["units"] for one in parts),
        "stands": _stands(parts),
        "oldest": min((one["oldest"] for one in parts if one["oldest"]), default=None),
        "next": min((one["next"] for one in parts if one["next"]), default=None),
        "attempts": max(one["attempts"] for one in parts),
        "replies": _replies(reply for one in parts for reply in one["replies"]),
        "channels": {
            c: {n: sum(one["channels"][c][n] for one in lasts) for n in ("out", "slots")}
            for c in CHANNELS
        },
        "complete": not any(one["end"] for one in lasts),
    }


def _stands(parts: Iterable[Mapping[str, Any]]) -> Shown:
    total: Shown = {}
    for one in parts:
        for where, there in one["stands"].items():
            known = total.setdefault(where, {"units": 0, "first": there["first"]})
            known["units"] += there["units"]
            known["first"] = min(known["first"], there["first"], key=lambda mail: str(mail["id"]))
    return total


def _replies(replies: Iterable[Mapping[str, Any]]) -> list[Shown]:
    total: dict[str, Shown] = {}
    for reply in replies:
        known = total.setdefault(reply["reply"], {**reply, "recipients": 0})
        known["recipients"] += reply["recipients"]
        known["attempts"] = max(known["attempts"], reply["attempts"])
    return sorted(total.values(), key=lambda reply: -reply["recipients"])[:REPLIES]
