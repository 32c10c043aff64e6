"""The record of a mail in the queue: what the bus stores, and its wire form. Pure.

A record is one message on `q.<shard>.<mail id>.<unit>`. Everything but the body stands in one
header (JSON, ASCII, short keys), so that a scheduler follows a shard headers-only and never sees a
body. The payload is the body itself for small mails with one destination, else empty: then the body
is in `chunks` messages of the MAIL stream.

`split` and `group` records have no recipients in the header: they may be thousands. Their payload
is JSON: the recipients to split, or the keys of the units made from them.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum

from tubepost.errors import TubepostError
from tubepost.subjects import Key

HEADER = "Tubepost"
VERSION = 1

INLINE_LIMIT = 256 * 1024
"""Bytes of a body kept inside its record. Above, and for several destinations: chunks."""

CHUNK = 768 * 1024
"""Bytes of a body in one message of MAIL: below the server's default max_payload of 1 MB."""

UNIT_RECIPIENTS = 50
"""Recipients of one unit: with their last replies they fit a message header (64 KiB)."""

MAX_REPLY = 200
"""Characters of a recipient's last reply kept in the record."""


class UnreadableRecord(TubepostError):
    """What is stored on a queue subject is not a record of ours."""


class State(StrEnum):
    """See docs/message-lifecycle.md; the table there and lifecycle.TRANSITIONS are the same."""

    PENDING = "pending"
    BOUNCE = "bounce"
    DONE = "done"
    SPLIT = "split"
    GROUP = "group"
    PARKED = "parked"


class Fate(StrEnum):
    """Where one recipient stands."""

    WAITING = "w"
    DELIVERED = "d"
    FAILED = "f"
    BOUNCED = "b"


@dataclass(frozen=True, slots=True)
class Recipient:
    """`reply` is the last thing a delivery said about this recipient: text, one line."""

    address: str
    fate: Fate = Fate.WAITING
    reply: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Times are seconds since 1970, UTC; `size` is octets of the body with CRLF line ends."""

    state: State
    channel: str = ""
    destination: str = ""
    sender: str
    recipients: tuple[Recipient, ...] = ()
    size: int
    chunks: int = 0
    created: float
    attempts: int = 0
    next_attempt: float
    group: int | None = None
    count: int = 0
    """split and group only: how many recipients or units the payload lists."""

    @property
    def waiting(self) -> tuple[str, ...]:
        return tuple(r.address for r in self.recipients if r.fate is Fate.WAITING)

    @property
    def inline(self) -> bool:
        return self.chunks == 0 and self.state not in (State.SPLIT, State.GROUP)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender ("" is the null reverse-path) and recipients, as addresses go on the wire."""

    sender: str
    recipients: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Held:
    """A record as read: the sequence it had, and its payload ("" where only headers were read)."""

    key: Key
    seq: int
    record: Record
    payload: bytes = b""


_compact = json.JSONEncoder(separators=(",", ":")).encode


def encode(record: Record) -> str:
    """The header's value."""
    wire: dict[str, object] = {
        "v": VERSION,
        "st": record.state,
        "ch": record.channel,
        "d": record.destination,
        "s": record.sender,
        "r": [_encode_recipient(r) for r in record.recipients],
        "sz": record.size,
        "c": record.created,
        "n": record.next_attempt,
    }
    optional = {"k": record.chunks, "a": record.attempts, "g": record.group, "u": record.count}
    wire |= {
        name: value for name, value in optional.items() if value or (value == 0 and name == "g")
    }
    return _compact(wire)


def _encode_recipient(r: Recipient) -> object:
    if r.fate is Fate.WAITING and not r.reply:
        return r.address
    return [r.address, r.fate, r.reply[:MAX_REPLY], r.status]


def decode(header: str | None) -> Record:
    """The record in a header's value. Unknown keys are ignored: a newer release may write them."""
    try:
        wire = json.loads(header or "")
        return Record(
            state=State(wire["st"]),
            channel=str(wire["ch"]),
            destination=str(wire["d"]),
            sender=str(wire["s"]),
            recipients=tuple(_decode_recipient(r) for r in wire["r"]),
            size=int(wire["sz"]),
            chunks=int(wire.get("k", 0)),
            created=float(wire["c"]),
            attempts=int(wire.get("a", 0)),
            next_attempt=float(wire["n"]),
            group=wire.get("g"),
            count=int(wire.get("u", 0)),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UnreadableRecord(f"not a queue record: {error!r}") from error


def _decode_recipient(wire: object) -> Recipient:
    if isinstance(wire, str):
        return Recipient(wire)
    if isinstance(wire, list) and len(wire) == 4:
        return Recipient(str(wire[0]), Fate(wire[1]), str(wire[2]), str(wire[3]))
    raise ValueError(f"not a recipient: {wire!r}")
