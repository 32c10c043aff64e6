"""How shards are shared out: pure, from what every replica says it holds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.members import Member, Plan, answer, parse, plan


def member(name: str, *shards: int) -> Member:
    return Member(name, frozenset(shards))


def test_the_only_one_takes_all() -> None:
    assert plan(member("a"), [], 3) == Plan((0, 1, 2), 3)
    assert plan(member("a", 0), [], 3) == Plan((1, 2), 2)
    assert plan(member("a", 0, 1, 2), [], 3) == Plan()


def test_one_that_joins_gets_its_share_from_the_one_that_has_most() -> None:
    a, b, new = member("a", 0, 1, 4), member("b", 2, 3), member("c")
    assert plan(a, [b, new], 5) == Plan(give_up=4)
    assert plan(b, [a, new], 5) == Plan()
    assert plan(new, [a, b], 5) == Plan((), 1)


def test_nothing_is_given_up_while_a_shard_is_free() -> None:
    a, b = member("a", 0, 1, 2), member("b")
    assert plan(a, [b], 4) == Plan((3,))
    assert plan(b, [a], 4) == Plan((3,), 2)


def test_nothing_moves_where_shares_differ_by_one() -> None:
    a, b = member("a", 0), member("b", 1, 2)
    assert plan(a, [b], 3) == plan(b, [a], 3) == Plan()


def test_more_replicas_than_shards() -> None:
    a, b, c = member("a", 0), member("b", 1), member("c")
    assert [plan(a, [b, c], 2), plan(b, [a, c], 2), plan(c, [a, b], 2)] == [Plan()] * 3


def test_what_another_believes_to_hold_too_goes_first() -> None:
    assert plan(member("a", 0, 1), [member("b", 0)], 2) == Plan(give_up=0)


def test_what_is_kept_is_not_given_up() -> None:
    a, b = member("a", 0, 1), member("b")
    assert plan(a, [b], 2, kept={1}) == Plan(give_up=0)
    assert plan(a, [b], 2, kept={0, 1}) == Plan()


def test_an_answer_is_read_back() -> None:
    assert parse(answer(member("a-1", 3, 1))) == member("a-1", 1, 3)


@pytest.mark.parametrize("data", [b"", b"?", b"[]", b'{"name": "a"}', b'{"name":"a","shards":7}'])
def test_what_is_no_answer_is_nobody(data: bytes) -> None:
    assert parse(data) is None


@given(
    shards=st.integers(1, 16),
    replicas=st.integers(1, 6),
    seed=st.integers(0, 10_000),
    held=st.floats(0, 1),
)
def test_from_any_start_all_shards_are_held_evenly_and_then_nothing_moves(
    shards: int, replicas: int, seed: int, held: float
) -> None:
    """Replicas act in any order, each on what is true then; the lease lets one hold a shard."""
    chance = random.Random(seed)
    names = [f"r{n}" for n in range(replicas)]
    holds: dict[str, set[int]] = {name: set() for name in names}
    for shard in range(shards):
        if chance.random() < held:
            holds[chance.choice(names)].add(shard)
    for _ in range(3 * shards + 3):
        moved = False
        for name in chance.sample(names, replicas):
            moved |= act(name, holds, shards)
        if not moved:
            break
    counts = [len(mine) for mine in holds.values()]
    assert sum(counts) == shards
    assert max(counts) - min(counts) <= 1
    assert not moved


def act(name: str, holds: dict[str, set[int]], shards: int) -> bool:
    me = Member(name, frozenset(holds[name]))
    others = [Member(n, frozenset(s)) for n, s in holds.items() if n != name]
    todo = plan(me, others, shards)
    taken = set(todo.free[: todo.room])
    holds[name] |= taken
    if todo.give_up is not None:
        assert not todo.free
        holds[name].discard(todo.give_up)
    return bool(taken) or todo.give_up is not None
