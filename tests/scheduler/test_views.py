"""Questions about the queue and their answers, by owners in several processes."""

import pytest

from services.scheduler.filters import Filter
from tests.fakes import FakeClock, MemoryBus
from tests.scheduler.mails import alone, group, unit_of, views_on
from tests.scheduler.units import NOW
from tubepost.errors import Unavailable
from tubepost.record import Recipient
from tubepost.subjects import Key


async def test_the_whole_queue_is_asked_of_every_shard_s_owner(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views_on(memory_bus, clock, [alone("a"), alone("c")], [alone("b"), group("d")])
    counts = await asked.counts()
    assert (counts["messages"], counts["unprocessed"], counts["oldest"]) == (4, 0, NOW)
    mails, cursor = await asked.page(Filter(), "", 10)
    assert ([mail["id"] for mail in mails], cursor) == (["a", "b", "c", "d"], None)


async def test_pages_follow_one_another_without_gap_or_overlap(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    names = [f"m{n:02}" for n in range(23)]
    shards = [[alone(name) for name in names[first::2]] for first in (0, 1)]
    asked = await views_on(memory_bus, clock, *shards)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        mails, cursor = await asked.page(Filter(sender="@example.org"), cursor, 5)
        assert len(mails) <= 5
        found += [mail["id"] for mail in mails]
    assert found == names


async def test_the_units_of_a_mail_are_one_mail(memory_bus: MemoryBus, clock: FakeClock) -> None:
    ann, bob = Recipient("ann@far.example"), Recipient("bob@other.example")
    asked = await views_on(
        memory_bus, clock, [group("m"), unit_of("m", "0", ann)], [unit_of("m", "1", bob)]
    )
    [mail] = (await asked.page(Filter(), "", 10))[0]
    assert [r["address"] for r in mail["recipients"]] == [ann.address, bob.address]
    assert await asked.stands(0, "m") == {"0": "ready", "S": "units"}
    assert await asked.stands(1, "m") == {"1": "ready"}


async def test_flush_says_what_is_due_by_it(memory_bus: MemoryBus, clock: FakeClock) -> None:
    asked = await views_on(memory_bus, clock, [alone("a"), alone("b")], [alone("c")])
    keys = [Key(0, "a", "0"), Key(1, "c", "0"), Key(0, "unknown", "0")]
    assert await asked.flush_units(keys) == set(keys[:2])
    assert await asked.flush(0, Filter(), "", until=NOW) == (2, 2, "")


async def test_a_shard_without_an_owner_makes_the_answer_unavailable(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views_on(memory_bus, clock, [alone("a")])
    for question in (asked.counts(), asked.page(Filter(), "", 10)):
        with pytest.raises(Unavailable, match="shard 1 of the queue has no scheduler now"):
            await question
    assert await asked.stands(1, "a") == {}


async def test_a_question_nobody_knows_has_no_answer(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views_on(memory_bus, clock, [alone("a")])
    assert await asked.answer("ctl.0.nothing", b"{}") is None
