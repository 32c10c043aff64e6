"""The queue as it is listed: pages, pages of several shards as one, counts."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler import listing
from services.scheduler.filters import Filter
from services.scheduler.listing import (
    SCAN,
    START,
    Sight,
    counts,
    cursor_of,
    keys,
    merged,
    page,
    place_of,
    summed,
)
from services.scheduler.shard import Limits
from tests.scheduler.mails import LIMITS, alone, group, sight_of, unit_of
from tests.scheduler.units import NOW, key
from tubepost import subjects
from tubepost.record import MAX_REPLY, UNIT_RECIPIENTS, Fate, Held, Note, Recipient, State

MAX_PAYLOAD = 1 << 20
"""Octets of a message on a nats-server as it comes."""

ALL = Filter()
PAGE = 200


def listed(sights: list[Sight], limit: int, chosen: Filter = ALL) -> list[dict[str, Any]]:
    """Every page, as a caller gets them; a mail that goes on is joined."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        place = place_of(after)
        mails, after = merged([page(s, chosen, place, limit) for s in sights], limit)
        assert len(mails) <= limit
        for mail in mails:
            if found and found[-1]["id"] == mail["id"]:
                found[-1]["recipients"] += mail["recipients"]
            else:
                found.append(mail)
    return found


UNITS = st.dictionaries(
    st.tuples(
        st.sampled_from([f"m{n}" for n in range(12)]), st.sampled_from(["0", "1", "10", "2"])
    ),
    st.tuples(st.integers(0, 2), st.sampled_from(["x.example", "y.example"])),
)


@settings(max_examples=200)
@given(UNITS, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_every_unit_is_listed_once_whatever_the_sizes(
    units: dict[tuple[str, str], tuple[int, str]],
    limit: int,
    scan: int,
    wide: int,
    filtered: bool,
) -> None:
    """`scan`, `wide`: how many units a question looks at, and its answer holds."""
    held: list[list[Held]] = [[], [], []]
    wanted: dict[str, set[str]] = {}
    for (mail_id, unit), (shard, domain) in units.items():
        made = unit_of(mail_id, unit, Recipient(f"{unit}@{domain}"))
        made = replace(made, record=replace(made.record, destination=domain))
        held[shard].append(made)
        if not filtered or domain == "x.example":
            wanted.setdefault(mail_id, set()).add(f"{unit}@{domain}")
    chosen = Filter(domain="x.example") if filtered else ALL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SCAN", scan)
        patch.setattr(listing, "ANSWER", wide * 400)
        found = listed([sight_of(units) for units in held], limit, chosen)
    addresses = {m["id"]: [r["address"] for r in m["recipients"]] for m in found}
    assert [m["id"] for m in found] == sorted(wanted)
    assert {mail_id: sorted(r) for mail_id, r in addresses.items()} == {
        mail_id: sorted(r) for mail_id, r in wanted.items()
    }


@given(UNITS, st.integers(1, 5), st.integers(1, 4))
def test_every_unit_is_ordered_once(
    units: dict[tuple[str, str], tuple[int, str]], limit: int, scan: int
) -> None:
    sight = sight_of([unit_of(*name) for name in units])
    found, cursor = [], ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "SCAN", scan)
        while True:
            some, end = keys(sight, ALL, place_of(cursor), until=NOW, limit=limit)
            assert len(some) <= limit
            found += [(k.mail_id, k.unit) for k in some]
            if not end:
                break
            cursor = end
    assert found == sorted(units)


def test_a_page_shows_a_mail_with_what_is_known_of_each_recipient() -> None:
    waiting = Recipient("ann@far.example", Fate.WAITING, "451 later", "4.0.0")
    delivered = Recipient("bob@far.example", Fate.DELIVERED, "ok", "2.0.0")
    mail = alone("a", waiting, delivered)
    mail = replace(mail, record=replace(mail.record, note=Note("joe", "why", NOW)))
    [shown] = page(sight_of([mail]), ALL, START, 10)["units"]
    assert shown["id"] == "a"
    assert (shown["created"], shown["size"], shown["sender"]) == (NOW, 100, "joe@example.org")
    assert (shown["priority"], shown["next_attempt"]) == ("normal", NOW)
    assert shown["note"] == {"by": "joe", "why": "why", "at": NOW}
    found = [
        (r["address"], r["done"], r["reply"], r["status"], r["channel"], r["stands"])
        for r in shown["recipients"]
    ]
    assert found == [
        ("ann@far.example", False, "451 later", "4.0.0", "remote", "ready"),
        ("bob@far.example", True, "ok", "2.0.0", "remote", "ready"),
    ]


def test_the_answer_of_a_shard_fits_one_message() -> None:
    reply = "\N{SNOWMAN}" * MAX_REPLY
    many = [Recipient(f"user{n}@far.example", reply=reply) for n in range(UNIT_RECIPIENTS)]
    wide_mail = [unit_of("a", str(n), *many) for n in range(30)]
    others = [alone(f"m{n:03}", *many) for n in range(PAGE)]
    answer = page(sight_of([*wide_mail, *others]), ALL, START, PAGE)
    assert len(json.dumps(answer)) <= MAX_PAYLOAD
    assert place_of(answer["end"])[0] == "a", "it goes on in the middle of a mail"


def test_a_question_looks_at_a_bounded_part_of_the_shard() -> None:
    sight = sight_of([alone(f"{n:05}") for n in range(SCAN + 5)])
    answer = page(sight, Filter(domain="nowhere.example"), START, PAGE)
    assert answer == {"units": [], "end": f"{SCAN - 1:05}.0"}


def test_units_of_a_mail_are_one_mail() -> None:
    ann, bob = Recipient("ann@far.example"), Recipient("bob@other.example")
    first, second = (
        sight_of([group("m"), unit_of("m", "0", ann)]),
        sight_of([unit_of("m", "1", bob)]),
    )
    [mail] = listed([first, second], 10)
    assert [r["address"] for r in mail["recipients"]] == [ann.address, bob.address]
    assert (mail["state"], "unit" in mail) == ("pending", False)


@pytest.mark.parametrize(
    ("state", "shown"), [("bounce", "bounce"), ("held", "held"), ("parked", "parked")]
)
def test_a_mail_is_called_after_its_most_notable_unit(state: str, shown: str) -> None:
    other = unit_of("m", "1")
    other = replace(other, record=replace(other.record, state=State(state)))
    [mail] = listed([sight_of([group("m"), unit_of("m", "0"), other])], 10)
    assert mail["state"] == shown


def test_what_cannot_be_read_is_listed_too() -> None:
    bad = key("0018bcfe5680000000abcde", "0")
    sight = sight_of([alone("m"), alone("00")], bad=[bad])
    found = listed([sight], 1)
    assert [(m["id"], m["state"]) for m in found] == [
        ("00", "pending"),
        (bad.mail_id, "unreadable"),
        ("m", "pending"),
    ]
    assert (found[1]["created"], found[1]["why"]) == (1_700_000_000.0, "not a queue record")
    assert [m["id"] for m in listed([sight], 1, Filter(state="unreadable"))] == [bad.mail_id]
    assert [m["id"] for m in listed([sight], 1, Filter(channel="remote"))] == ["00", "m"]


def test_an_order_leaves_out_groups_and_what_came_after_it() -> None:
    late = alone("n")
    late = replace(late, record=replace(late.record, created=NOW + 1))
    bad = key("z")
    sight = sight_of([group("m"), unit_of("m", "0"), late], bad=[bad])
    found, end = keys(sight, ALL, START, until=NOW, limit=10)
    assert ([str(k) for k in found], end) == (["0.m.0", "0.z.0"], "")


@pytest.mark.parametrize("cursor", ["", "m1", "m1.0", "m1.S"])
def test_a_cursor_is_a_place(cursor: str) -> None:
    assert cursor_of(place_of(cursor)) == cursor


def stands(sight: Sight) -> list[str]:
    units = page(sight, ALL, START, 10)["units"]
    return [r["stands"] for u in units for r in u["recipients"]]


def test_where_a_unit_stands() -> None:
    later = alone("b")
    later = replace(later, record=replace(later.record, next_attempt=NOW + 400))
    states = [alone(f"c{n}", state=s) for n, s in enumerate((State.HELD, State.BOUNCE))]
    sight = sight_of([alone("a"), later, *states])
    assert stands(sight) == ["ready", "waiting", "held", "settling"]
    sight.shard.due(NOW, LIMITS)
    assert stands(sight) == ["delivering", "waiting", "held", "settling"]


@pytest.mark.parametrize("paused", ["remote", "far.example"])
def test_what_is_paused_says_so(paused: str) -> None:
    limits = Limits(LIMITS.channel, paused=frozenset({paused}))
    assert stands(sight_of([alone("a")], limits=limits)) == ["paused"]


def test_a_mail_counts_once_whatever_its_units() -> None:
    split = group("c", State.SPLIT)
    units = [alone("a"), group("b"), unit_of("b", "0"), unit_of("b", "1"), split]
    sight = sight_of(units, bad=[key("z")])
    sight.shard.due(NOW, Limits({"local": 1, "remote": 1}))
    found = summed([counts(sight), counts(sight_of([]))])
    assert (found["messages"], found["unprocessed"], found["oldest"]) == (4, 1, NOW)
    assert {k: v for k, v in found["states"].items() if v} == {
        "pending": 3,
        "group": 1,
        "split": 1,
        "unreadable": 1,
    }
    assert found["channels"]["remote"] == {"out": 1, "slots": 2 * LIMITS.channel["remote"]}
    assert found["ready"] == 2


def test_subjects_and_units_agree_on_the_order() -> None:
    """The group comes behind its units, also where they are more than ten."""
    assert sorted([subjects.SPLIT_UNIT, "10", "9"])[-1] == subjects.SPLIT_UNIT
