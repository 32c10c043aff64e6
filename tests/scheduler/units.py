"""Records for the scheduler's tests, as a shard holds them."""

from services.scheduler.shard import Limits, Shard
from tubepost.destination_limits import Limit
from tubepost.record import Held, Priority, Recipient, Record, State
from tubepost.subjects import LOCAL, REMOTE, Key

NOW = 1_700_000_000.0


def key(name: str, unit: str = "0", shard: int = 0) -> Key:
    return Key(shard, name, unit)


def record(
    *recipients: Recipient,
    state: State = State.PENDING,
    channel: str = REMOTE,
    destination: str = "far.example",
    sender: str = "joe@example.org",
    attempts: int = 0,
    next_attempt: float = NOW,
    created: float = NOW,
    priority: Priority = Priority.NORMAL,
    unreachable: bool = False,
    opens: float = 0.0,
    throttled: bool = False,
    unasked: bool = False,
) -> Record:
    """A record of a mail accepted at NOW."""
    return Record(
        state=state,
        channel=channel,
        destination=destination,
        sender=sender,
        recipients=recipients or (Recipient(f"ann@{destination}"),),
        size=100,
        created=created,
        attempts=attempts,
        next_attempt=next_attempt,
        priority=priority,
        unreachable=unreachable,
        opens=opens,
        throttled=throttled,
        unasked=unasked,
    )


def held(name: str, seq: int = 1, **more: object) -> Held:
    """`more`: of `record`."""
    return Held(key(name), seq, record(**more))  # type: ignore[arg-type]


def limits(
    local: int = 1000,
    remote: int = 1000,
    *,
    paused: tuple[str, ...] = (),
    **destinations: Limit,
) -> Limits:
    """`destinations`: by domain; write `_` for the dots, `other` for the default."""
    table = {"" if d == "other" else d.replace("_", "."): n for d, n in destinations.items()}
    return Limits({LOCAL: local, REMOTE: remote}, table, frozenset(paused))


class Sent:
    """A shard, a clock and the workers' side: what goes out, and how it ends."""

    def __init__(self, in_force: Limits | None = None) -> None:
        self.shard, self.limits, self.now, self.seq = Shard(), in_force or limits(), NOW, 0

    def put(self, name: str, **more: object) -> Held:
        """A record, due now unless `more` says otherwise."""
        self.seq += 1
        unit = held(name, self.seq, **{"next_attempt": self.now, **more})
        self.shard.put(unit, self.now)
        return unit

    def due(self, most: int = 256) -> list[str]:
        """The names of the mails that go out."""
        return [unit.key.mail_id for unit in self.shard.due(self.now, self.limits, most)]

    def unreachable(self, name: str, wait: float = 400.0, error: str = "no connection") -> None:
        """Its destination could not be reached; again after `wait` seconds."""
        self._again(name, wait, Recipient("ann", reply=error), unreachable=True)

    def deferred(self, name: str, wait: float = 400.0) -> None:
        """The destination answered: not now."""
        self._again(name, wait, Recipient("ann", reply="busy"), unreachable=False)

    def delivered(self, name: str) -> None:
        self.shard.gone(key(name), self.shard.units[key(name)].seq, self.now)

    def _again(self, name: str, wait: float, recipient: Recipient, *, unreachable: bool) -> None:
        old = self.shard.units[key(name)].record
        self.seq += 1
        new = record(
            recipient,
            channel=old.channel,
            destination=old.destination,
            sender=old.sender,
            attempts=old.attempts + 1,
            next_attempt=self.now + wait,
            created=old.created,
            priority=old.priority,
            unreachable=unreachable,
        )
        self.shard.put(Held(key(name), self.seq, new), self.now)
