"""The record of a mail in the queue: what the bus stores, and its wire form. Pure.

A record is one message on `q.<shard>.<mail id>.<unit>`. Everything but the body stands in one
header (JSON, ASCII, short keys), so that a scheduler follows a shard headers-only and never sees a
body. The payload is the body itself for small mails with one destination, else empty: then the body
is in `chunks` messages of the MAIL stream.

`split` and `group` records have no recipients in the header: they may be thousands. Their payload
is JSON: the recipients to split, or the keys of the units made from them.
"""

import json
import sys
from collections.abc import Mapping
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
    HELD = "held"


class Fate(StrEnum):
    """Where one recipient stands."""

    WAITING = "w"
    DELIVERED = "d"
    FAILED = "f"
    BOUNCED = "b"
    UNCONFIRMED = "u"
    """Delivered, and the sender asked to be told so (NOTIFY=SUCCESS)."""


class Priority(StrEnum):
    """Which mails go first where several wait. Weights, not ranks: none waits for ever."""

    INTERACTIVE = "i"
    NORMAL = "n"
    BULK = "b"


@dataclass(frozen=True, slots=True)
class Recipient:
    """`reply` is the last thing a delivery said about this recipient: text, one line.
    `kind`: what kind of trouble that was (reply_kinds), "" where it is none.
    `done`: of a local delivery that was deferred, the names of the actions that are done.

    `notify` and `orcpt` are the parameters of RCPT (RFC 3461 4.1, 4.2) as they were given.
    """

    address: str
    fate: Fate = Fate.WAITING
    reply: str = ""
    status: str = ""
    notify: str = ""
    orcpt: str = ""
    kind: str = ""
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """The last thing an operator, or we, did to the record by hand: who, why, when."""

    actor: str
    why: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Times are seconds since 1970, UTC; `size` is octets of the body with CRLF line ends.

    `born`: where the retry clock began, if that is not `created` (an operator rejuvenated it).
    `unreachable`: the last attempt did not reach any host of the destination; `opens`: and none of
    its hosts is tried before that instant. `throttled`: it was told that it sends too fast.
    `unasked`: it asked no host, for a fault of ours or of DNS.
    `warned`: the sender was told that the mail is late. `ret`, `envid`: RFC 3461 4.3, 4.4.
    """

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
    """split: how many recipients the payload lists; group: how many units were made."""
    priority: Priority = Priority.NORMAL
    born: float | None = None
    unreachable: bool = False
    opens: float = 0.0
    throttled: bool = False
    unasked: bool = False
    warned: bool = False
    ret: str = ""
    envid: str = ""
    note: Note | None = None
    smtputf8: bool = False
    """The sender asked for SMTPUTF8 (RFC 6531): addresses and header may be UTF-8."""

    @property
    def clock_start(self) -> float:
        """Where the age that rules retries and expiry begins."""
        return self.created if self.born is None else self.born

    @property
    def waiting(self) -> tuple[str, ...]:
        return tuple(r.address for r in self.recipients if r.fate is Fate.WAITING)

    @property
    def inline(self) -> bool:
        return self.chunks == 0 and self.state not in (State.SPLIT, State.GROUP)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sender wants to be told about one recipient: NOTIFY and ORCPT (RFC 3461)."""

    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender ("" is the null reverse-path) and recipients, as addresses go on the wire.

    `wishes` by recipient, only those that were given; `ret` and `envid` as for MAIL (RFC 3461).
    """

    sender: str
    recipients: tuple[str, ...] = field(default=())
    wishes: Mapping[str, Wish] = field(default_factory=dict)
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False

    def recipient(self, address: str) -> Recipient:
        """As it begins its life in a record."""
        wish = self.wishes.get(address)
        if wish is None:
            return Recipient(address)
        return Recipient(address, notify=wish.notify, orcpt=wish.orcpt)


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
    if record.group is not None:
        wire["g"] = record.group
    wire |= {name: value for name, value in _optional(record) if value}
    return _compact(wire)


def _optional(record: Record) -> tuple[tuple[str, object], ...]:
    """What most records do not have: left out where it is empty."""
    note, normal = record.note, record.priority is Priority.NORMAL
    return (
        ("k", record.chunks),
        ("a", record.attempts),
        ("u", record.count),
        ("p", "" if normal else record.priority),
        ("b", record.born),
        ("x", int(record.unreachable)),
        ("xo", record.opens),
        ("xt", int(record.throttled)),
        ("xn", int(record.unasked)),
        ("w", int(record.warned)),
        ("rt", record.ret),
        ("e", record.envid),
        ("i", int(record.smtputf8)),
        ("o", note and [note.actor, note.why, note.at]),
        ("t", _encode_kinds(record.recipients)),
        ("f", _encode_done(record.recipients)),
    )


def _encode_kinds(recipients: tuple[Recipient, ...]) -> list[str]:
    """Beside the recipients: a release that knows no kinds refuses a recipient with one more."""
    kinds = [r.kind for r in recipients]
    return kinds if any(kinds) else []


def _encode_done(recipients: tuple[Recipient, ...]) -> list[str]:
    """Beside the recipients, as kinds are. A release that does not know it repeats what is done."""
    done = [r.done for r in recipients]
    return [" ".join(names) for names in done] if any(done) else []


def _encode_recipient(r: Recipient) -> object:
    if r.notify or r.orcpt:
        return [r.address, r.fate, r.reply[:MAX_REPLY], r.status, r.notify, r.orcpt]
    if r.fate is Fate.WAITING and not r.reply:
        return r.address
    return [r.address, r.fate, r.reply[:MAX_REPLY], r.status]


# A call of an enum takes several times as long, and a restart decodes the whole queue.
_STATES = {state.value: state for state in State}
_FATES = {fate.value: fate for fate in Fate}
_PRIORITIES = {priority.value: priority for priority in Priority}


def decode(header: str | None) -> Record:
    """The record in a header's value. Unknown keys are ignored: a newer release may write them."""
    try:
        wire = json.loads(header or "")
        return Record(
            state=_STATES[wire["st"]],
            channel=sys.intern(str(wire["ch"])),
            destination=sys.intern(str(wire["d"])),
            sender=sys.intern(str(wire["s"])),
            recipients=_decode_recipients(wire["r"], wire.get("t"), wire.get("f")),
            size=int(wire["sz"]),
            chunks=int(wire.get("k", 0)),
            created=float(wire["c"]),
            attempts=int(wire.get("a", 0)),
            next_attempt=float(wire["n"]),
            group=wire.get("g"),
            count=int(wire.get("u", 0)),
            priority=_PRIORITIES[wire.get("p", "n")],
            born=wire.get("b"),
            unreachable=bool(wire.get("x")),
            opens=float(wire.get("xo", 0)),
            throttled=bool(wire.get("xt")),
            unasked=bool(wire.get("xn")),
            warned=bool(wire.get("w")),
            ret=str(wire.get("rt", "")),
            envid=str(wire.get("e", "")),
            note=_decode_note(wire.get("o")),
            smtputf8=bool(wire.get("i")),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UnreadableRecord(f"not a queue record: {error!r}") from error


def with_group(header: str, group: int) -> str:
    """The header of a unit whose group lives in another shard. What else it says stays as it is."""
    return _compact({**json.loads(header), "g": group})


def _decode_recipients(wire: list[object], kinds: object, done: object) -> tuple[Recipient, ...]:
    if kinds is None and done is None:  # nearly always
        return tuple(_decode_recipient(r) for r in wire)
    beside = zip(wire, _beside(wire, kinds), _beside(wire, done), strict=True)
    return tuple(
        _decode_recipient(r, sys.intern(k), tuple(map(sys.intern, names.split())))
        for r, k, names in beside
    )


def _beside(wire: list[object], texts: object) -> list[str]:
    """What stands beside the recipients; where it does not fit them, nothing."""
    if not isinstance(texts, list) or len(texts) != len(wire):
        return [""] * len(wire)
    return [str(text) for text in texts]


def _decode_recipient(wire: object, kind: str = "", done: tuple[str, ...] = ()) -> Recipient:
    if isinstance(wire, str):
        return Recipient(wire, kind=kind, done=done)
    if isinstance(wire, list) and len(wire) in (4, 6):
        address, fate, *rest = wire
        # Interned: a dead host says the same of all its mail.
        reply, status, *wish = (sys.intern(str(text)) for text in rest)
        notify, orcpt = wish or ("", "")
        return Recipient(str(address), _FATES[fate], reply, status, notify, orcpt, kind, done)
    raise ValueError(f"not a recipient: {wire!r}")


def _decode_note(wire: object) -> Note | None:
    if wire is None:
        return None
    if isinstance(wire, list) and len(wire) == 3:
        return Note(str(wire[0]), str(wire[1]), float(wire[2]))
    raise ValueError(f"not a note: {wire!r}")
