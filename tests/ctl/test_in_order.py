"""Late items find their place as long as they are not later than the hold."""

from hypothesis import given
from hypothesis import strategies as st

from ctl.in_order import InOrder

TIMES = st.lists(st.integers(0, 50), max_size=30)


def test_nothing_is_ready_before_it_was_held() -> None:
    order: InOrder[str] = InOrder(2.0)
    order.add([((10.0, 0), "a")], now=100.0)
    assert order.ready(101.9) == []
    assert order.ready(102.0) == ["a"]
    assert order.ready(110.0) == []


def test_what_came_late_but_belongs_before_goes_first() -> None:
    order: InOrder[str] = InOrder(2.0)
    order.add([((10.0, 0), "second")], now=100.0)
    order.add([((9.0, 0), "first"), ((11.0, 0), "third")], now=101.5)
    assert order.ready(102.0) == ["first", "second"]
    assert order.ready(103.5) == ["third"]


def test_of_the_same_instant_the_rank_decides_then_the_arrival() -> None:
    order: InOrder[str] = InOrder(0)
    order.add([((1.0, 1), "c"), ((1.0, 0), "a"), ((1.0, 0), "b")], now=0)
    assert order.ready(0) == ["a", "b", "c"]


def test_patience_is_the_time_until_something_is_ready() -> None:
    order: InOrder[str] = InOrder(2.0)
    assert order.patience(100.0) is None
    order.add([((1.0, 0), "a")], now=100.0)
    assert order.patience(100.5) == 1.5
    assert order.patience(110.0) == 0.0
    assert order.ready(110.0) == ["a"]
    assert order.patience(110.0) is None


@given(TIMES)
def test_the_rest_is_everything_in_order(times: list[int]) -> None:
    order: InOrder[int] = InOrder(1.0)
    order.add((((float(at), 0), at) for at in times), now=0)
    assert order.rest() == sorted(times)
    assert order.rest() == []
    assert order.ready(100) == []


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 9)), max_size=40))
def test_what_is_late_by_less_than_the_hold_comes_out_in_order(
    happened: list[tuple[int, int]],
) -> None:
    """`happened`: (when, how much later it is heard of); clocks agree."""
    order: InOrder[int] = InOrder(10.0)
    found: list[int] = []
    for heard, at in sorted((at + late, at) for at, late in happened):
        order.add([((float(at), 0), at)], now=float(heard))
        found += order.ready(float(heard))
    found += order.rest()
    assert found == sorted(at for at, _ in happened)
