"""qmail-send's log lines from events: a fold with its own counters. Pure.

The lines are those of qmail-log(5), so that what reads qmail's logs (qmailanalog's matchup, eyes)
reads ours. docs/events.md says what stands where qmail has something we have not.
"""

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ctl.in_order import When

Event = Mapping[str, Any]

CHANNELS = ("local", "remote")

UIDS: Mapping[str, int] = {
    "smtp": 1,
    "submission": 2,
    "http": 3,
    "bounce": 4,
    "submissions": 5,
    "forward": 6,
    "list": 7,
}
"""Who brought a mail in: qmail has a user id there."""

TAI64 = (1 << 62) + 10
"""TAI64 label of 1970-01-01, as daemontools counts: no leap seconds since."""

REMEMBERED = 10_000
"""Mails whose end is remembered: it may be told twice."""


def number(mail_id: str) -> int:
    """The message number of a mail, and its qp: below 2^63, always the same for the same id.

    Milliseconds of its acceptance (the id's first 13 digits) * 2^20 + crc32(id) mod 2^20.
    """
    try:
        moment = int(mail_id[:13], 16)
    except ValueError:
        moment = 0
    return (moment & (1 << 43) - 1) << 20 | zlib.crc32(mail_id.encode()) & (1 << 20) - 1


def safe(text: str) -> str:
    """qmail's logsafe: a line end is `/`; blanks, `%` and what is not printable ASCII are `_`."""
    return "".join(
        "/" if c == "\n" else c if "!" <= c <= "~" and c != "%" else "_"
        for c in text.replace("\r\n", "\n")
    )


def seconds_stamp(at: float) -> str:
    """`1700000000.123456`, what splogger writes and qmailanalog reads."""
    return f"{at:.6f}"


def tai64n_stamp(at: float) -> str:
    """`@` and 24 hex digits, what multilog writes."""
    micros = round(at * 1e6)
    return f"@{TAI64 + micros // 1_000_000:016x}{micros % 1_000_000 * 1000:08x}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing in qmail-send's life. `what` is a key of RANKS; `recipient` for start and end."""

    what: str
    at: float
    event: Event
    recipient: Mapping[str, str] = field(default_factory=dict)

    @property
    def when(self) -> When:
        return self.at, RANKS[self.what]


RANKS: Mapping[str, int] = {"bounce": 0, "new": 1, "start": 2, "end": 3, "parked": 4, "over": 5}
"""What comes first of the same instant."""


def steps(event: Event) -> Iterator[Step]:
    """What qmail-send would have done; nothing for events it does not know."""
    kind = event["event"]
    if kind == "started":
        for address in event["recipients"]:
            yield Step("start", event["began"], event, {"address": address})
    elif kind == "attempt":
        yield from _attempted(event)
    elif kind in _SIMPLE:
        yield Step(_SIMPLE[kind], event["at"], event)


_SIMPLE = {"accepted": "new", "bounced": "bounce", "parked": "parked", "ended": "over"}


def _attempted(event: Event) -> Iterator[Step]:
    for recipient in event["recipients"]:
        yield Step("start", event["began"], event, recipient)
        yield Step("end", event["at"], event, recipient)
    if event["state"] in ("done", "gone") and not event["group"]:
        yield Step("over", event["at"], event)


@dataclass(slots=True)
class Running:
    """A delivery that has a starting line and no end."""

    attempt: int
    number: int
    channel: str


class QmailLog:
    """The fold. `limits`: concurrencylocal and concurrencyremote, by channel."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._numbers = itertools.count(1)
        self._running: dict[tuple[str, str, str], Running] = {}
        self._new: set[str] = set()
        self._over: dict[str, None] = {}

    def lines(self, step: Step) -> list[str]:
        """The lines of the next step, without their stamp. What is told twice has lines once."""
        match step.what:
            case "new":
                return self._accepted(step.event)
            case "start":
                return self._starting(step.event, step.recipient)
            case "end":
                return self._ending(step.event, step.recipient)
            case "bounce":
                return self._bounced(step.event)
            case "parked":
                why = safe(step.event["why"])
                return [f"warning: msg {number(step.event['mail'])} is set aside: {why}"]
            case _:
                return self._ended(step.event["mail"])

    def _accepted(self, event: Event) -> list[str]:
        mail = event["mail"]
        if mail in self._new:
            return []
        self._new.add(mail)
        msg, uid = number(mail), UIDS.get(event["source"], 0)
        about = f"bytes {event['size']} from <{safe(event['sender'])}> qp {msg} uid {uid}"
        return [f"new msg {msg}", f"info msg {msg}: {about}"]

    def _starting(self, event: Event, recipient: Mapping[str, str]) -> list[str]:
        key, attempt = _key(event, recipient), event["attempt"]
        known = self._running.get(key)
        if known and known.attempt == attempt:
            return []
        channel = event["channel"]
        running = self._running[key] = Running(attempt, next(self._numbers), channel)
        to = f"msg {number(event['mail'])} to {channel} {safe(recipient['address'])}"
        return [f"starting delivery {running.number}: {to}", self._status()]

    def _ending(self, event: Event, recipient: Mapping[str, str]) -> list[str]:
        begun = self._starting(event, recipient)  # nothing where that was told, as it should be
        running = self._running.pop(_key(event, recipient))
        text = safe(recipient["text"])
        report = text if text.endswith("/") else text + "/"  # qmail's reports end with a line end
        said = f"delivery {running.number}: {recipient['outcome']}: {report}"
        return [*begun, said, self._status()]

    def _bounced(self, event: Event) -> list[str]:
        msg = number(event["mail"])
        if event["kind"] == "triple":
            return [f"triple bounce: discarding bounce/{msg}"]
        if event["kind"] not in ("single", "double"):
            return []  # told of success, or of nothing, as the sender wished: not known to qmail
        return [f"bounce msg {msg} qp {number(event['bounce'])}"]

    def _ended(self, mail: str) -> list[str]:
        if mail in self._over:
            return []
        self._new.discard(mail)
        self._running = {key: run for key, run in self._running.items() if key[0] != mail}
        self._over[mail] = None
        if len(self._over) > REMEMBERED:
            del self._over[next(iter(self._over))]
        return [f"end msg {number(mail)}"]

    def _status(self) -> str:
        used = [running.channel for running in self._running.values()]
        parts = (f" {name} {used.count(name)}/{self._limits[name]}" for name in CHANNELS)
        return "status:" + "".join(parts)


def _key(event: Event, recipient: Mapping[str, str]) -> tuple[str, str, str]:
    return event["mail"], event["unit"], recipient["address"]
