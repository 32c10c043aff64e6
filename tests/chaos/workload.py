"""The mails of a chaos run: kinds, recipients, and what has to become of each of them. Pure.

How another host answers is written in the address, so that the sink, which made no plan of its
own, and the accounting agree: the local part says what it answers to RCPT, the first label of the
domain what it answers to the final dot. Remote addresses are never used twice.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

HOME = "home.example"
FAR = "far.example"
BOXES = tuple(f"box{n}@{HOME}" for n in range(8))
SENDERS = tuple(f"from{n}@{HOME}" for n in range(4))
POSTMASTER = f"postmaster@{HOME}"
"""Gets double bounces: there is to be none."""

SLOW_SECONDS = 3.0
AWAY_SECONDS = 20.0
LINE = 76

OK, BUSY, AWAY, NEVER = "ok", "busy", "away", "never"
"""To RCPT: 250; 451 on the first tries; 451 for AWAY_SECONDS; 550."""

PLAIN, SLOW, LATE, REJECT = "plain", "slow", "late", "reject"
"""To the final dot: 250; 250 after SLOW_SECONDS; 451 on the first tries; 554."""

_TOKEN = re.compile(r"-(c\d+)-\d+@")


class Due(StrEnum):
    """Where a recipient of an accepted mail has to be found in the end."""

    SINK = "sink"
    BOX = "box"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to be sent. `size`: octets of the text below its header, at least."""

    number: int
    kind: str
    sender: str
    recipients: tuple[str, ...]
    size: int = 1000

    @property
    def token(self) -> str:
        """Stands in the header and in every remote address of the mail."""
        return f"c{self.number}"

    def content(self) -> bytes:
        """The mail, CRLF line ends. Every line of the text is another one, and some begin with
        a dot: a piece that is missing, doubled or out of place changes the digest."""
        head = f"From: <{self.sender}>\r\nSubject: {self.kind}\r\nX-Chaos: {self.token}\r\n\r\n"
        lines = (
            f"{'.' if n % 7 == 0 else ''}{self.token} {n:08} ".ljust(LINE, "x") + "\r\n"
            for n in range(self.size // LINE + 1)
        )
        return (head + "".join(lines)).encode()


def digest(content: bytes) -> str:
    """Of the text below the header, whatever the line ends are."""
    text = content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    return hashlib.sha256(text).hexdigest()[:16]


def token_of(address: str) -> str:
    """The token in a remote address, "" in a local one."""
    found = _TOKEN.search(address)
    return found[1] if found else ""


def due(address: str) -> Due:
    """What has to become of a recipient."""
    local, _, domain = address.partition("@")
    if domain == HOME:
        return Due.BOX
    refused = local.startswith(NEVER + "-") or domain.startswith(REJECT)
    return Due.BOUNCE if refused else Due.SINK


def refusals(number: int) -> int:
    """How often a busy host says 451 before it takes a mail: once or twice."""
    return 1 + number % 2


def _far(rcpt: str, dot: str, host: int, number: int, place: int) -> str:
    return f"{rcpt}-c{number}-{place}@{dot}{host}.{FAR}"


_Recipients = Callable[[Random, int], Sequence[str]]


def _one(rcpt: str, dot: str, hosts: int) -> _Recipients:
    """A single remote recipient at one of `hosts` destinations."""
    return lambda rnd, number: [_far(rcpt, dot, rnd.randrange(hosts), number, 0)]


def _local(count: int) -> _Recipients:
    return lambda rnd, _: rnd.sample(BOXES, count)


def _same(rnd: Random, number: int) -> Sequence[str]:
    """One destination that answers each recipient in another way: one record, three outcomes."""
    host = rnd.randrange(4)
    answers = [OK, NEVER, OK, OK]
    return [_far(rcpt, PLAIN, host, number, n) for n, rcpt in enumerate(answers)]


def _same_busy(rnd: Random, number: int) -> Sequence[str]:
    host = rnd.randrange(4)
    answers = [OK, BUSY, NEVER, OK]
    return [_far(rcpt, PLAIN, host, number, n) for n, rcpt in enumerate(answers)]


def _many(rnd: Random, number: int) -> Sequence[str]:
    """Several destinations, near and far: the mail is split."""
    far = [_far(OK, PLAIN, host, number, n) for n, host in enumerate(rnd.sample(range(8), 3))]
    slow = _far(OK, SLOW, 0, number, 3)
    refused = _far(NEVER, PLAIN, rnd.randrange(8), number, 4)
    return [*far, slow, refused, *rnd.sample(BOXES, 2)]


def _wide(_: Random, number: int) -> Sequence[str]:
    """Thirty destinations, one of them with more recipients than a unit takes."""
    crowd = [_far(OK, PLAIN, 0, number, n) for n in range(60)]
    return crowd + [_far(OK, PLAIN, host, number, 60 + host) for host in range(1, 30)]


@dataclass(frozen=True, slots=True)
class Kind:
    """`weight`: its share of the mails. `retries`: it takes a second try to end."""

    weight: int
    recipients: _Recipients
    size: int = 1000
    retries: bool = False


KINDS: Mapping[str, Kind] = {
    "far": Kind(30, _one(OK, PLAIN, 8)),
    "box": Kind(18, _local(1)),
    "boxes": Kind(4, _local(3)),
    "slow": Kind(8, _one(OK, SLOW, 2)),
    "never": Kind(5, _one(NEVER, PLAIN, 4)),
    "reject": Kind(4, _one(OK, REJECT, 2)),
    "same": Kind(5, _same),
    "many": Kind(10, _many),
    "wide": Kind(1, _wide),
    "fat": Kind(10, _one(OK, PLAIN, 8), 150_000),
    "fatbox": Kind(4, _local(1), 200_000),
    "fatbusy": Kind(3, _one(BUSY, PLAIN, 4), 100_000, retries=True),
    "big": Kind(2, _one(OK, PLAIN, 4), 1_500_000),
    "bigbox": Kind(2, _local(1), 1_500_000),
    "bigmany": Kind(2, _many, 400_000),
    "busy": Kind(8, _one(BUSY, PLAIN, 4), retries=True),
    "away": Kind(4, _one(AWAY, PLAIN, 4), 5_000, retries=True),
    "late": Kind(4, _one(OK, LATE, 2), retries=True),
    "samebusy": Kind(4, _same_busy, retries=True),
}


class Workload:
    """Mails one after another, the same ones for the same seed."""

    def __init__(self, seed: int, *, retries: bool) -> None:
        """`retries`: whether a deferred mail is tried again soon enough to be waited for."""
        self._random = Random(f"mails {seed}")
        kinds = {name: kind for name, kind in KINDS.items() if retries or not kind.retries}
        self._names = list(kinds)
        self._weights = [kind.weight for kind in kinds.values()]
        self._next = 0

    def next(self) -> Mail:
        """The next mail."""
        number, self._next = self._next, self._next + 1
        [name] = self._random.choices(self._names, self._weights)
        kind = KINDS[name]
        recipients = tuple(kind.recipients(self._random, number))
        return Mail(number, name, self._random.choice(SENDERS), recipients, kind.size)
