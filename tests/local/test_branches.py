"""Several actions for one recipient: what they come to together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.local.branches import did, merged
from tubepost.outcome import Deferred, Delivered, Failed, Outcome

STORED, SENT = Delivered(text=did(local=1)), Delivered(text=did(forwards=2))
BUSY = Deferred(text="disk full", status="4.3.1")
LATER = Deferred(text="queue full", status="4.3.2")
NEVER = Failed(text="over quota", status="5.2.2")
LOOP = Failed(text="looping", status="5.4.6")


@pytest.mark.parametrize(
    ("tried", "together"),
    [
        ([], Delivered(text="did_0+0+0/")),
        ([("store", STORED), ("forward", SENT)], Delivered(text="did_1+2+0/")),
        ([("store", STORED), ("forward", LATER)],
         Deferred(text="queue full", status="4.3.2", done=("store",))),
        ([("store", BUSY), ("forward", LATER)],
         Deferred(text="disk full/queue full", status="4.3.1")),
        ([("store", BUSY), ("forward", BUSY)], Deferred(text="disk full", status="4.3.1")),
        ([("store", NEVER), ("forward", LATER)],
         Deferred(text="queue full/over quota", status="4.3.2")),
        ([("store", NEVER), ("forward", SENT)], NEVER),
        ([("store", NEVER), ("forward", LOOP)],
         Failed(text="over quota/looping", status="5.2.2")),
        ([("forward", SENT), ("forward", LATER)], LATER),
    ],
)  # fmt: skip
def test_together(tried: list[tuple[str, Outcome]], together: Outcome) -> None:
    assert merged(tried) == together


OUTCOMES = st.sampled_from([STORED, SENT, BUSY, LATER, NEVER, LOOP])


@given(st.lists(OUTCOMES, min_size=1, max_size=4))
def test_no_branch_is_lost(outcomes: list[Outcome]) -> None:
    """What has to be tried again is, what failed is told, what is done is noted."""
    tried = [(str(n), outcome) for n, outcome in enumerate(outcomes)]
    together, kinds = merged(tried), {type(outcome) for outcome in outcomes}
    order = (Deferred, Failed, Delivered)
    assert type(together) is next(kind for kind in order if kind in kinds)
    if isinstance(together, Deferred):
        assert together.done == tuple(n for n, o in tried if isinstance(o, Delivered))
    if not isinstance(together, Delivered):
        assert all(o.text in together.text for o in outcomes if not isinstance(o, Delivered))


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("other", [True, False])
def test_the_next_one_reports_only_where_that_is_so_for_all(one: bool, other: bool) -> None:
    tried = [("a", Delivered(text=did(), reports=one)), ("b", Delivered(text=did(), reports=other))]
    together = merged(tried)
    assert isinstance(together, Delivered)
    assert together.reports == (one and other)
