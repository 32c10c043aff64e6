"""Mails for the contract tests of the store: accepted, read back, their records and outcomes."""

import random
from collections.abc import Callable

from tests.contracts.reading import reading, subjects_of, until_caught_up
from tubepost import lifecycle
from tubepost.mailstore import MailStore
from tubepost.outcome import Outcome
from tubepost.ports import Bus
from tubepost.record import Envelope, Held, Recipient, Record, State
from tubepost.retry import Rules
from tubepost.routing import Route
from tubepost.subjects import Key

SHARDS = 2
NOW = 1_700_000_000.0
HERE = Route("local", "example.org")
THERE = Route("remote", "example.net")
JOE = "joe@example.org"
ID = "018bcfe56800000000abcd"


def octets(count: int) -> bytes:
    return random.Random(count).randbytes(count)


async def accepted(bus: Bus, body: bytes, *, mail_id: str = ID) -> tuple[MailStore, Key]:
    store = MailStore(bus, SHARDS)
    key = await store.accept(Envelope("a@b.c", (JOE,)), [HERE], body, mail_id=mail_id, now=NOW)
    return store, key


async def held(store: MailStore, key: Key) -> Held:
    found = await store.read(key)
    assert found is not None
    return found


async def stored_in(bus: Bus, stream: str) -> list[str]:
    async with reading(bus.follow(stream, ">")) as items:
        return subjects_of(await until_caught_up(items))


def outcome(result: Outcome) -> Callable[[Record], Record]:
    """A change for `settle`: an attempt that gave every recipient this."""

    def change(record: Record) -> Record:
        outcomes = dict.fromkeys(record.waiting, result)
        return lifecycle.after_attempt(record, outcomes, began=NOW + 1, now=NOW + 2, rules=Rules())

    return change


RECORD = Record(
    state=State.PENDING,
    channel="local",
    destination="example.org",
    sender="a@b.c",
    recipients=(Recipient(JOE),),
    size=5,
    created=NOW,
    next_attempt=NOW,
)
