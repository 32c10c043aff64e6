"""One destination in one answer: counts, the last replies, what its owner knows of it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler import summary
from services.scheduler.listing import Sight
from tests.fakes import FakeClock, MemoryBus
from tests.scheduler.mails import LIMITS, alone, group, sight_of, views_on
from tests.scheduler.units import NOW, Sent, held, key, limits, record
from tubepost.destination_limits import Limit
from tubepost.errors import Unavailable
from tubepost.record import Fate, Held, Note, Recipient, State
from tubepost.subjects import LOCAL

FAR = "far.example"


def parts(sight: Sight, name: str = FAR) -> list[dict[str, Any]]:
    """Every part of a shard, as an owner is asked for them."""
    found = [summary.part(sight, name, "", 0)]
    while found[-1]["end"]:
        units = sum(part["units"] for part in found)
        found.append(summary.part(sight, name, found[-1]["end"], units))
    return found


def summed(units: Iterable[Held], name: str = FAR) -> dict[str, Any]:
    return summary.whole([parts(sight_of(units), name)])


def test_nothing_for_a_destination_is_told_with_the_limits_it_would_begin_with() -> None:
    in_force = limits(far_example=Limit(3, 0.5))
    found = summary.whole([parts(sight_of([], limits=in_force))])
    assert (found["units"], found["stands"], found["replies"], found["complete"]) == (
        0,
        {},
        [],
        True,
    )
    state = found["state"]
    assert (state["limit"], state["window"], state["rate"], state["until"]) == (3, 3, 0.5, 0)


def test_units_are_counted_by_where_they_stand() -> None:
    note = Note("kim", "spam", NOW)
    mine = replace(held("h", state=State.HELD, created=NOW - 9).record, note=note)
    units = [
        held("a"),
        held("b", next_attempt=NOW + 400, attempts=2),
        held("c", next_attempt=NOW + 300, attempts=1),
        Held(held("h").key, 1, mine),
        held("x", destination="other.example"),
        group("g"),
    ]
    found = summed(units)
    assert {where: there["units"] for where, there in found["stands"].items()} == {
        "ready": 1,
        "waiting": 2,
        "held": 1,
    }
    assert (found["units"], found["oldest"], found["next"]) == (4, NOW - 9, NOW + 300)
    assert found["attempts"] == 2
    first = found["stands"]["held"]["first"]
    assert (first["id"], first["note"]["by"], first["note"]["why"]) == ("h", "kim", "spam")


def test_the_replies_most_recipients_got_come_first() -> None:
    full = Recipient("full@far.example", reply="452 full", status="4.2.2")
    grey = [Recipient(f"g{n}@far.example", reply="451 later", status="4.7.1") for n in range(2)]
    done = Recipient("ok@far.example", Fate.DELIVERED, reply="250 ok")
    found = summed([alone("a", full, done), alone("b", *grey)])
    assert [(r["reply"], r["recipients"]) for r in found["replies"]] == [
        ("451 later", 2),
        ("452 full", 1),
    ]
    many = [alone(f"m{n:03}", Recipient("x", reply=f"reply {n}")) for n in range(summary.KEPT + 10)]
    assert len(summed(many)["replies"]) == summary.REPLIES


def test_local_mail_has_a_summary_too() -> None:
    found = summed([held("a", channel=LOCAL, destination="example.org")], "example.org")
    assert found["stands"]["ready"]["units"] == 1


def test_what_was_learnt_of_the_destination_is_told() -> None:
    sent = Sent()
    for name in ("a", "b"):
        sent.put(name)
    assert sorted(sent.due()) == ["a", "b"]
    sent.unreachable("a")
    sent.unreachable("b")
    sight = Sight(sent.shard, {}, LIMITS, NOW, frozenset({FAR}))
    found = summary.whole([parts(sight_of([])), parts(sight)])
    assert (found["state"]["failures"], found["state"]["error"]) == (2, "no connection")
    assert found["state"]["until"] > NOW
    assert found["channels"]["remote"] == {"out": 0, "slots": 40}


@given(
    st.lists(st.sampled_from([FAR, "x.example"]), max_size=40),
    st.integers(1, 7),
    st.integers(1, 3),
)
def test_no_unit_is_missed_or_counted_twice_whatever_the_slices(
    names: list[str], scan: int, shards: int
) -> None:
    split: list[list[Held]] = [[] for _ in range(shards)]
    for n, name in enumerate(names):
        unit = Held(key(f"m{n // 3:03}", str(n % 3)), 1, record(destination=name))
        split[n % shards].append(unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "SCAN", scan)
        found = summary.whole([parts(sight_of(units)) for units in split])
    assert found["units"] == names.count(FAR)
    assert found["complete"]


async def test_every_owner_is_asked_and_a_long_queue_in_slices(
    memory_bus: MemoryBus, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SCAN", 2)
    asked = await views_on(
        memory_bus, clock, [alone(f"a{n}") for n in range(7)], [alone("b", state=State.PARKED)]
    )
    found = await asked.destination(FAR)
    assert (found["units"], found["stands"]["parked"]["units"], found["complete"]) == (8, 1, True)
    monkeypatch.setattr("services.scheduler.views.SLICES", 2)
    short = await asked.destination(FAR)
    assert (short["units"], short["complete"]) == (5, False)


async def test_a_shard_without_an_owner_makes_the_summary_unavailable(
    memory_bus: MemoryBus, clock: FakeClock
) -> None:
    asked = await views_on(memory_bus, clock, [alone("a")])
    with pytest.raises(Unavailable):
        await asked.destination(FAR)
