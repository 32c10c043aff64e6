"""The order of hosts, as tables and as laws."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.remote.host_order import alternating, in_order
from services.remote.mx import Host


def hosts(text: str) -> list[Host]:
    """`10:4a 10:6a`: a preference, a family, a name each."""
    return [
        Host(name, f"::{i}" if name[0] == "6" else f"192.0.2.{i}", preference=int(preference))
        for i, (preference, name) in enumerate(each.split(":") for each in text.split())
    ]


def test_equal_preferences_are_shuffled_and_others_kept_in_order() -> None:
    exchangers = [(30, "last"), (10, "first"), (20, "a"), (20, "b"), (20, "c")]
    orders = [in_order(exchangers, Random(seed).random) for seed in range(50)]
    assert {order[0] for order in orders} == {(10, "first")}
    assert {order[-1] for order in orders} == {(30, "last")}
    assert len({tuple(order) for order in orders}) == 6


def test_the_same_exchanger_is_taken_once_at_its_best() -> None:
    assert in_order([(20, "a"), (10, "b"), (5, "a")], Random(0).random) == [(5, "a"), (10, "b")]


def test_families_take_turns_within_a_preference() -> None:
    mixed = hosts("5:4a 10:4b 10:4c 10:4d 10:6e 20:6f 20:4g")
    names = [host.name for host in alternating(mixed, "46")]
    assert names == ["4a", "4b", "6e", "4c", "4d", "4g", "6f"]
    names = [host.name for host in alternating(mixed, ("6", "4"))]
    assert names == ["4a", "6e", "4b", "4c", "4d", "6f", "4g"]


candidates = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("46")), max_size=12)


@given(candidates, st.sampled_from(["46", "64", "4", "6"]))
def test_nobody_is_lost_and_no_worse_one_comes_first(
    drawn: list[tuple[int, str]], families: str
) -> None:
    mixed = hosts(" ".join(f"{p}:{family}" for p, family in sorted(drawn)))
    ordered = alternating(mixed, families)
    assert sorted(ordered, key=repr) == sorted(mixed, key=repr)
    assert [host.preference for host in ordered] == sorted(host.preference for host in mixed)


@given(candidates)
def test_the_first_two_of_a_preference_are_of_both_families_where_it_has_both(
    drawn: list[tuple[int, str]],
) -> None:
    ordered = alternating(hosts(" ".join(f"1:{family}" for _, family in drawn)), "46")
    assert len({":" in host.ip for host in ordered[:2]}) == len({family for _, family in drawn})
