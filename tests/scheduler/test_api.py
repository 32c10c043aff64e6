"""The queue as /v1 shows it: counts, pages, the parts of one mail put together."""

import json
from dataclasses import replace

import pytest

from services.scheduler.api import PAGE, Views, counts, page
from services.scheduler.owner import Owner
from services.scheduler.settle import Settler
from services.scheduler.shard import Limits
from tests.fakes import FakeClock, MemoryBus
from tests.scheduler.units import NOW, key, record
from tubepost import subjects
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import Unavailable
from tubepost.mailstore import MailStore
from tubepost.record import MAX_REPLY, UNIT_RECIPIENTS, Fate, Held, Recipient, State

MAX_PAYLOAD = 1 << 20
"""Octets of a message on a nats-server as it comes."""


def alone(mail_id: str, *recipients: Recipient, state: State = State.PENDING) -> Held:
    """A mail of one unit."""
    return Held(key(mail_id), 1, record(*recipients, state=state))


def unit_of(mail_id: str, unit: str, *recipients: Recipient) -> Held:
    """One unit of a split mail."""
    return Held(key(mail_id, unit), 1, replace(record(*recipients), group=0))


def group(mail_id: str, state: State = State.GROUP) -> Held:
    """What a split mail has beside its units."""
    made = replace(record(state=state), recipients=(), chunks=1, count=2)
    return Held(key(mail_id, subjects.SPLIT_UNIT), 1, made)


def test_a_mail_counts_once_whatever_its_units() -> None:
    units = [alone("a"), group("b"), unit_of("b", "0"), unit_of("b", "1"), group("c", State.SPLIT)]
    assert counts(units) == {"messages": 3, "unprocessed": 1}


def test_a_page_shows_a_mail_with_what_is_known_of_each_recipient() -> None:
    waiting = Recipient("ann@far.example", Fate.WAITING, "451 later", "4.0.0")
    delivered = Recipient("bob@far.example", Fate.DELIVERED, "ok", "2.0.0")
    [shown] = page([alone("a", waiting, delivered)], after="", limit=10)["units"]
    assert shown["id"] == "a"
    assert (shown["created"], shown["size"], shown["sender"]) == (NOW, 100, "joe@example.org")
    found = [(r["address"], r["done"], r["reply"], r["channel"]) for r in shown["recipients"]]
    assert found == [
        ("ann@far.example", False, "451 later", "remote"),
        ("bob@far.example", True, "ok", "remote"),
    ]


def test_the_answer_of_a_shard_fits_one_message() -> None:
    reply = "x" * MAX_REPLY
    many = [Recipient(f"user{n}@far.example", reply=reply) for n in range(UNIT_RECIPIENTS)]
    answer = page([alone(f"m{n:03}", *many) for n in range(PAGE)], after="", limit=PAGE)
    assert len(json.dumps(answer)) <= MAX_PAYLOAD


async def views(bus: MemoryBus, clock: FakeClock, *shards: list[Held]) -> Views:
    """Two schedulers: each owns one shard, and the question goes to whoever answers."""
    asked: list[Views] = []
    for number, units in enumerate(shards):
        settler = Settler(
            MailStore(bus, 2), 2, Control(bus, "mail.example.org"), Directory(bus), clock
        )
        owner = Owner(
            bus,
            number,
            settler,
            clock=clock,
            limits=lambda: Limits({}),
            wanted=lambda: None,
        )
        for seq, one in enumerate(units, 1):
            owner.shard.put(replace(one, seq=seq), clock())
        owner._loaded.set()
        asked.append(Views(bus, 2, {number: owner}))
        await bus.answer(subjects.VIEW_ANY, asked[-1].answer)
    return asked[0]


async def test_the_whole_queue_is_asked_of_every_shard_s_owner(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views(memory_bus, clock, [alone("a"), alone("c")], [alone("b"), group("d")])
    assert await asked.counts() == {"messages": 4, "unprocessed": 0}
    assert [mail["id"] for mail in await asked.page("", 10)] == ["a", "b", "c", "d"]


async def test_pages_follow_one_another_without_gap_or_overlap(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    names = [f"m{n:02}" for n in range(23)]
    shards = [[alone(name) for name in names[first::2]] for first in (0, 1)]
    asked = await views(memory_bus, clock, *shards)
    found, after = [], ""
    while mails := await asked.page(after, 5):
        assert len(mails) <= 5
        found += [mail["id"] for mail in mails]
        after = found[-1]
    assert found == names


async def test_the_units_of_a_mail_are_one_mail(memory_bus: MemoryBus, clock: FakeClock) -> None:
    ann, bob = Recipient("ann@far.example"), Recipient("bob@other.example")
    asked = await views(
        memory_bus, clock, [group("m"), unit_of("m", "0", ann)], [unit_of("m", "1", bob)]
    )
    [mail] = await asked.page("", 10)
    assert [r["address"] for r in mail["recipients"]] == [ann.address, bob.address]


async def test_a_mail_is_bouncing_where_one_of_its_units_is(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    bouncing = unit_of("m", "1", Recipient("bob@other.example", Fate.FAILED))
    bouncing = replace(bouncing, record=replace(bouncing.record, state=State.BOUNCE))
    asked = await views(memory_bus, clock, [group("m"), unit_of("m", "0")], [bouncing])
    assert [mail["state"] for mail in await asked.page("", 10)] == ["bounce"]


async def test_a_shard_without_an_owner_makes_the_answer_unavailable(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views(memory_bus, clock, [alone("a")])
    with pytest.raises(Unavailable, match="shard 1 of the queue has no scheduler now"):
        await asked.counts()
