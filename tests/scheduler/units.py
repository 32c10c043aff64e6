"""Records for the scheduler's tests, as a shard holds them."""

from tubepost.record import Held, Recipient, Record, State
from tubepost.subjects import REMOTE, Key

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
) -> Record:
    """A record of a mail accepted at NOW."""
    return Record(
        state=state,
        channel=channel,
        destination=destination,
        sender=sender,
        recipients=recipients or (Recipient(f"ann@{destination}"),),
        size=100,
        created=NOW,
        attempts=attempts,
        next_attempt=next_attempt,
    )


def held(name: str, seq: int = 1, **more: object) -> Held:
    """`more`: of `record`."""
    return Held(key(name), seq, record(**more))  # type: ignore[arg-type]
