"""Recipients that are left over for a further transaction. A table."""

import pytest

from services.remote.too_many import left_over
from tubepost.outcome import Deferred, Delivered, Failed, Outcome

TAKEN = Delivered(text="taken")


def deferred(reply: str, status: str) -> Deferred:
    return Deferred(text="no", reply=reply, status=status)


@pytest.mark.parametrize(
    "outcome",
    [
        deferred("452 4.5.3 Too many recipients", "4.5.3"),
        deferred("452 too many recipients", "4.0.0"),
        Failed(text="no", reply="552 5.5.3 Too many recipients", status="5.5.3"),
    ],
)
def test_who_was_one_too_many_is_left_over(outcome: Outcome) -> None:
    assert left_over({"a": TAKEN, "b": outcome, "c": outcome}) == ("b", "c")


@pytest.mark.parametrize(
    "outcome",
    [
        TAKEN,
        deferred("452 4.3.1 disk full", "4.3.1"),
        deferred("452 4.2.2 mailbox full", "4.2.2"),
        deferred("451 4.5.3 what?", "4.5.3"),
        deferred("", "4.0.0"),
        Failed(text="no", reply="552 5.2.2 mailbox full", status="5.2.2"),
        Failed(text="no", reply="552 too big", status="5.0.0"),
        Failed(text="no", reply="550 5.1.1 who?", status="5.1.1"),
    ],
)
def test_who_has_another_outcome_is_not(outcome: Outcome) -> None:
    assert left_over({"a": TAKEN, "b": outcome}) == ()


def test_nobody_is_left_over_where_nobody_was_taken() -> None:
    outcome = deferred("452 4.5.3 Too many recipients", "4.5.3")
    assert left_over({"a": outcome, "b": outcome}) == ()
    assert left_over({"a": outcome}) == ()
