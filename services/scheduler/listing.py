"""The queue as an operator sees it: what matches, pages of a shard, several shards as one. Pure.

A place is (mail id, unit): where a page ended, and the next one goes on. A page looks at SCAN units
at most, so that no question holds an owner up, and may therefore be short, or empty, and still not
the last.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.scheduler.filters import Filter
from services.scheduler.shard import Limits, Shard
from tubepost.record import Fate, Held, Recipient, State
from tubepost.subjects import CHANNELS, Key

ANSWER = 400_000
"""Octets of one answer of a shard, so that with one wide unit more it fits a message of 1 MB."""

SCAN = 10_000
"""Units one question looks at: some 40 ms of an owner's time."""

UNREADABLE = "unreadable"
"""Shown as the state of what lies in the queue and is no record of ours."""

WHOLE = "~"
"""Behind every unit of a mail: the place of a mail id alone."""

START = ("", WHOLE)

PRECEDENCE = (
    State.BOUNCE, UNREADABLE, State.PARKED, State.HELD, State.SPLIT, State.PENDING, State.DONE,
    State.GROUP,
)  # fmt: skip
"""A mail is called after the first of these that one of its units is in."""

Place = tuple[str, str]
Shown = dict[str, Any]


class Entry(NamedTuple):
    """One thing in a shard: a record, or why there is none to be read."""

    key: Key
    held: Held | None
    why: str = ""

    @property
    def place(self) -> Place:
        return self.key.mail_id, self.key.unit


@dataclass(frozen=True, slots=True)
class Sight:
    """A shard as its owner knows it now."""

    shard: Shard
    unreadable: Mapping[Key, str]
    limits: Limits
    now: float
    backed_off: Set[str] = frozenset()
    """Destinations that get nothing but probes."""


def place_of(text: str) -> Place:
    """The place in a cursor: `<mail id>` (behind all of it) or `<mail id>.<unit>`."""
    mail_id, _, unit = text.partition(".")
    return mail_id, unit or WHOLE


def cursor_of(place: Place) -> str:
    """The reverse of `place_of`."""
    mail_id, unit = place
    return mail_id if unit == WHOLE else f"{mail_id}.{unit}"


def entries(sight: Sight, after: Place) -> Iterator[Entry]:
    """What lies behind a place, by mail id, then unit."""
    mail_id, unit = after
    begun = (h for h in sight.shard.of_mail(mail_id) if h.key.unit > unit)
    yield from (Entry(h.key, h) for h in sorted(begun, key=lambda h: h.key.unit))
    rest = (Entry(h.key, h) for h in sight.shard.in_order(mail_id))
    if not sight.unreadable:
        yield from rest
        return
    bad = (Entry(key, None, why) for key, why in sight.unreadable.items())
    missed = sorted((e for e in bad if e.place > after), key=lambda e: e.place)
    yield from heapq.merge(rest, missed, key=lambda e: e.place)


def page(sight: Sight, chosen: Filter, after: Place, limit: int) -> dict[str, Any]:
    """Units of the first `limit` mails that match: {units, end}.

    `end`: the cursor up to which this is complete, "" where there is nothing more.
    """
    matches = chosen.matcher(sight.now)
    units: list[Shown] = []
    room, mails, last, mail_id = ANSWER, 0, after, ""
    for seen, entry in enumerate(entries(sight, after)):
        if seen == SCAN:
            return {"units": units, "end": cursor_of(last)}
        if _chosen(entry, chosen, matches):
            unit = shown(entry, stands(sight, entry))
            room -= len(json.dumps(unit))
            mails += entry.key.mail_id != mail_id
            if mails > limit or (room < 0 and units):
                return {"units": units, "end": cursor_of(last)}
            mail_id = entry.key.mail_id
            units.append(unit)
        last = entry.place
    return {"units": units, "end": ""}


def keys(
    sight: Sight, chosen: Filter, after: Place, *, until: float, limit: int
) -> tuple[list[Key], str]:
    """What an order is for: at most `limit` units accepted by `until` that match, and the end.

    A group is left out: it follows its units.
    """
    matches = chosen.matcher(sight.now)
    found: list[Key] = []
    last = after
    for seen, entry in enumerate(entries(sight, after)):
        if seen == SCAN or len(found) == limit:
            return found, cursor_of(last)
        last = entry.place
        record = entry.held.record if entry.held else None
        late = record is not None and (record.created > until or record.state is State.GROUP)
        if not late and _chosen(entry, chosen, matches):
            found.append(entry.key)
    return found, ""


def _chosen(entry: Entry, chosen: Filter, matches: Callable[[Held], bool]) -> bool:
    if entry.held is None:
        return chosen in (Filter(), Filter(state=UNREADABLE))
    return matches(entry.held)


def stands(sight: Sight, entry: Entry) -> str:
    """Where it stands. The words are in docs/howto/queue.md."""
    held = entry.held
    if held is None:
        return UNREADABLE
    if held.record.state is not State.PENDING:
        return {State.HELD: "held", State.PARKED: "parked", State.GROUP: "units"}.get(
            held.record.state, "settling"
        )
    if held.key in sight.shard.out:
        return "delivering"
    record, paused = held.record, sight.limits.paused
    if record.channel in paused or record.destination in paused:
        return "paused"
    if record.next_attempt > sight.now:
        return "waiting"
    return "backoff" if record.destination in sight.backed_off else "ready"


def shown(entry: Entry, stands: str) -> Shown:
    """One unit, for a list."""
    held, key = entry.held, entry.key
    first = {"id": key.mail_id, "unit": key.unit}
    if held is None:
        return first | _NOTHING | {"created": _made(key.mail_id), "why": entry.why}
    record = held.record
    note = record.note
    pending = record.state is State.PENDING
    return first | {
        "created": record.created,
        "size": record.size,
        "sender": record.sender,
        "state": record.state,
        "priority": record.priority.name.lower(),
        "attempts": record.attempts,
        "next_attempt": record.next_attempt if pending else None,
        "note": note and {"by": note.actor, "why": note.why, "at": note.at},
        "recipients": [
            recipient(r, record.channel)
            | {
                "attempts": record.attempts,
                "next_attempt": record.next_attempt,
                "stands": stands,
            }
            for r in record.recipients
        ],
    }


def recipient(r: Recipient, channel: str) -> Shown:
    """`done`: as qmail-qread means it, nothing more will be tried for this one."""
    return {
        "address": r.address,
        "channel": channel,
        "done": r.fate in (Fate.DELIVERED, Fate.UNCONFIRMED, Fate.BOUNCED),
        "fate": r.fate.name.lower(),
        "reply": r.reply,
        "status": r.status,
        "kind": r.kind,
    }


_NOTHING: Shown = {
    "size": 0, "sender": "", "state": UNREADABLE, "priority": "normal", "attempts": 0,
    "next_attempt": None, "note": None, "recipients": [],
}  # fmt: skip


def _made(mail_id: str) -> float:
    """When a mail id was made: its first 13 digits are milliseconds."""
    try:
        return int(mail_id[:13], 16) / 1000
    except ValueError:
        return 0.0


def merged(pages: Iterable[Mapping[str, Any]], limit: int) -> tuple[list[Shown], str | None]:
    """The pages of all shards as one: at most `limit` mails, oldest first, and the cursor behind.

    A mail whose units did not fit goes on, under the same id, at the head of the next page.
    """
    pages = list(pages)
    ends = [place_of(one["end"]) for one in pages if one["end"]]
    end = min(ends, default=None)
    units = [u for one in pages for u in one["units"]]
    complete = [u for u in units if end is None or (u["id"], u["unit"]) <= end]
    mails = as_mails(complete)
    if len(mails) > limit:
        return mails[:limit], mails[limit - 1]["id"]
    return mails, None if end is None else cursor_of(end)


def as_mails(units: Iterable[Shown]) -> list[Shown]:
    """One entry for each mail, with the recipients of all its units."""
    mails: dict[str, Shown] = {}
    for unit in sorted(units, key=lambda u: (u["id"], u["unit"])):
        mail = mails.get(unit["id"])
        if mail is None:
            mails[unit["id"]] = {k: v for k, v in unit.items() if k != "unit"}
        else:
            _join(mail, unit)
    return list(mails.values())


def _join(mail: Shown, unit: Shown) -> None:
    """Adds a unit to its mail."""
    mail["recipients"] = mail["recipients"] + unit["recipients"]
    mail["state"] = min(mail["state"], unit["state"], key=PRECEDENCE.index)
    mail["attempts"] = max(mail["attempts"], unit["attempts"])
    tries = [t for t in (mail["next_attempt"], unit["next_attempt"]) if t is not None]
    mail["next_attempt"] = min(tries, default=None)
    mail["note"] = mail["note"] or unit["note"]
    mail["size"] = max(mail["size"], unit["size"])
    mail["sender"] = mail["sender"] or unit["sender"]
    if "why" in unit:
        mail["why"] = unit["why"]


def counts(sight: Sight) -> dict[str, Any]:
    """What qmail-qstat counts, and what stands behind it."""
    shard, tally = sight.shard, sight.shard.tally
    return {
        "messages": tally.messages + len(sight.unreadable),
        "unprocessed": tally.unprocessed,
        "states": {**tally.states, UNREADABLE: len(sight.unreadable)},
        "channels": {c: {"out": shard.used(c), "slots": sight.limits.of(c)} for c in CHANNELS},
        "ready": sum(shard.ready(channel) for channel in CHANNELS),
        "oldest": shard.oldest,
    }


def summed(each: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of all shards together."""
    shards = list(each)
    return {
        **{n: sum(one[n] for one in shards) for n in ("messages", "unprocessed", "ready")},
        "states": _added(one["states"] for one in shards),
        "channels": {c: _added(one["channels"][c] for one in shards) for c in CHANNELS},
        "oldest": min((one["oldest"] for one in shards if one["oldest"]), default=None),
    }


def _added(counted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counted:
        for name, number in one.items():
            total[name] = total.get(name, 0) + number
    return total
