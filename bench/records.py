"""What a long queue holds: deferred mails as records, drawn from a seed. Pure.

Domains are as uneven as in life: the k-th most wanted of 2,000 gets a share of 1/k.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from tubepost.mailstore import new_mail_id
from tubepost.record import Recipient, Record, State
from tubepost.subjects import REMOTE, Key, shard_of

DOMAINS = 2000
SENDERS = 500
DAY = 86_400.0
REPLY = (
    "Connected to 192.0.2.{} but greeting failed. Remote host said: 421 4.3.2 too busy now, "
    "please try again later. (#4.4.2)"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What mails to make. `domain`: all go there; "" = spread over DOMAINS names.

    `wait`: seconds from now until the first and the last of them is due. `size`: octets of a body.
    """

    size: int
    wait: tuple[float, float]
    domain: str = ""


def domain_name(rank: int) -> str:
    """The rank-th most wanted domain, from 0."""
    return f"d{rank:04d}.example"


def body(size: int) -> bytes:
    """A mail of that many octets."""
    head = b"From: <a@sender.example>\r\nTo: <b@d.example>\r\nSubject: queued\r\n\r\n"
    line = b"The quick brown fox jumps over the lazy dog and waits in the queue.\r\n"
    return (head + line * (size // len(line) + 1))[: size - 2] + b"\r\n"


def make(
    count: int, kind: Kind, *, now: float, shards: int, seed: int
) -> Iterator[tuple[Key, Record]]:
    """`count` deferred mails with 1 to 5 attempts behind them, taken over the last five days."""
    rng = Random(seed)
    shares = list(accumulate(1 / (rank + 1) for rank in range(DOMAINS)))
    names = [domain_name(rank) for rank in range(DOMAINS)]
    for number in range(count):
        domain = kind.domain or rng.choices(names, cum_weights=shares)[0]
        reply = REPLY.format(rng.randrange(256))
        created = now - rng.uniform(600, 5 * DAY)
        record = Record(
            state=State.PENDING,
            channel=REMOTE,
            destination=domain,
            sender=f"user{rng.randrange(100)}@s{rng.randrange(SENDERS):03d}.example",
            recipients=(Recipient(f"r{number}@{domain}", reply=reply, status="4.4.2"),),
            size=kind.size,
            created=created,
            attempts=rng.randint(1, 5),
            next_attempt=now + rng.uniform(*kind.wait),
        )
        mail_id = new_mail_id(created)
        yield Key(shard_of(REMOTE, domain, mail_id, shards), mail_id, "0"), record
