"""The account of a chaos run: every accepted mail, recipient by recipient, and each copy. Pure.

A recipient is lost where an accepted mail of its is neither where it belongs nor in the queue. A
mail whose reply the client did not read counts as accepted as soon as one recipient has it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from tests.chaos.causes import Causes
from tests.chaos.client import Attempt, Sent
from tests.chaos.kills import Kill
from tests.chaos.servers import Left
from tests.chaos.sink import Arrival
from tests.chaos.workload import Due, digest, due

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Boxed:
    """A file in the Maildir of `address`. `at`: its modification time."""

    address: str
    token: str
    name: str
    at: float
    digest: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """One dead recipient in one bounce in a sender's Maildir."""

    address: str
    token: str
    name: str
    at: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run left behind. `stored`: by worker and recipient, when outcomes were stored."""

    attempts: Sequence[Attempt]
    arrivals: Sequence[Arrival]
    boxed: Sequence[Boxed]
    bounces: Sequence[Bounce]
    left: Sequence[Left]
    kills: Sequence[Kill]
    stored: Mapping[tuple[str, str], Sequence[float]]
    worker_at: Mapping[str, str]
    """Name of the worker that connects from an address."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A recipient that has nothing. `state`: of the record that still has it, "" = lost."""

    mail_id: str
    token: str
    kind: str
    sent: Sent
    address: str
    due: Due
    accepted_at: float
    state: str = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A recipient with one more copy. `cause`: see causes; `why`: a sentence."""

    mail_id: str
    address: str
    due: Due
    first: float
    second: float
    cause: str
    why: str


@dataclass(slots=True)
class Account:
    """The result."""

    lost: list[Missing] = field(default_factory=list)
    stuck: list[Missing] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Bounces for recipients that were to be served, refusals by 5xx, mails nobody sent."""


class _Copies:
    """Everything that arrived, by token and recipient."""

    def __init__(self, facts: Facts) -> None:
        self.sink = _grouped(facts.arrivals, lambda a: (a.token, a.address))
        self.box = _grouped(facts.boxed, lambda b: (b.token, b.address))
        self.bounce = _grouped(facts.bounces, lambda b: (b.token, b.address))

    def times(self, token: str, address: str) -> list[float]:
        """When each copy of what is due came."""
        key = (token, address)
        match due(address):
            case Due.SINK:
                return sorted(a.at for a in self.sink.get(key, ()))
            case Due.BOX:
                return sorted(b.at for b in self.box.get(key, ()))
            case Due.BOUNCE:
                return sorted(b.at for b in self.bounce.get(key, ()))


def _grouped(
    items: Iterable[T], key: Callable[[T], tuple[str, str]]
) -> dict[tuple[str, str], list[T]]:
    found: dict[tuple[str, str], list[T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)


def account(facts: Facts) -> Account:
    """Compares what was accepted with what arrived."""
    result, copies = Account(), _Copies(facts)
    causes = Causes(facts.arrivals, facts.kills, facts.stored, facts.worker_at)
    left = _grouped(facts.left, lambda record: (record.mail_id, ""))
    for attempt in facts.attempts:
        if attempt.sent is Sent.REFUSED:
            result.wrong.append(f"{attempt.mail.kind} was refused: {attempt.reply}")
        if attempt.may_be_queued:
            _account_mail(attempt, copies, left, causes, result)
    _compare_contents(facts, result)
    return result


def _account_mail(
    attempt: Attempt,
    copies: _Copies,
    left: Mapping[tuple[str, str], Sequence[Left]],
    causes: Causes,
    result: Account,
) -> None:
    token = attempt.mail.token
    times = {a: copies.times(token, a) for a in attempt.recipients}
    if attempt.sent is not Sent.ACCEPTED and not any(times.values()):
        return  # never stored, or still on its way; there was no 250
    records = left.get((attempt.mail_id, ""), ())
    for address, arrived in times.items():
        if not arrived:
            missing = _missing(attempt, address, records)
            (result.stuck if missing.state else result.lost).append(missing)
        result.duplicates += [
            Duplicate(attempt.mail_id, address, due(address), *pair, *causes.of(address, *pair))
            for pair in pairwise(arrived)
        ]


def _missing(attempt: Attempt, address: str, records: Sequence[Left]) -> Missing:
    states = [r.state for r in records if address in r.waiting or "*" in r.waiting]
    mail = attempt.mail
    return Missing(
        attempt.mail_id,
        mail.token,
        mail.kind,
        attempt.sent,
        address,
        due(address),
        attempt.at,
        states[0] if states else "",
    )


def _compare_contents(facts: Facts, result: Account) -> None:
    """Every copy against what was sent; and bounces for recipients that were to be served."""
    mails = {attempt.mail.token: attempt.mail for attempt in facts.attempts}
    wanted: dict[str, str] = {}
    copies: list[Arrival | Boxed] = [*facts.arrivals, *facts.boxed]
    for copy in copies:
        mail = mails.get(copy.token)
        if mail is None:
            result.wrong.append(f"nobody sent what {copy.address} has")
            continue
        if mail.token not in wanted:
            wanted[mail.token] = digest(mail.content())
        if copy.digest != wanted[mail.token]:
            result.damaged.append(f"{mail.kind} {copy.token} for {copy.address}")
    result.wrong += [
        f"a bounce for {bounce.address} ({bounce.name})"
        for bounce in facts.bounces
        if due(bounce.address) is not Due.BOUNCE
    ]
