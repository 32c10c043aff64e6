"""Recipients that are left over for a transaction of their own, at once. A table."""

import pytest

from services.remote.too_many import at_once_for_the_rest, not_for_good
from tubepost.outcome import Deferred, Delivered, Failed, Outcome

TAKEN = Delivered(text="taken")


def left_over(outcomes: dict[str, Outcome]) -> tuple[str, ...]:
    """Those that are due again at once. All others keep their outcome."""
    marked = at_once_for_the_rest(outcomes)
    again = tuple(r for r, o in marked.items() if isinstance(o, Deferred) and o.at_once)
    assert {r: o for r, o in marked.items() if r not in again} == {
        r: o for r, o in outcomes.items() if r not in again
    }
    return again


def deferred(reply: str, status: str) -> Deferred:
    return Deferred(text="no", reply=reply, status=status)


@pytest.mark.parametrize(
    "outcome",
    [
        deferred("452 4.5.3 Too many recipients", "4.5.3"),
        deferred("452 too many recipients", "4.0.0"),
        deferred("552 5.5.3 Too many recipients", "4.5.3"),
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


@pytest.mark.parametrize("said", ["552 5.5.3 No more of them", "552 Too many recipients"])
def test_one_too_many_is_no_reason_for_a_bounce(said: str) -> None:
    status = "5.5.3" if "5.5.3" in said else "5.0.0"
    refusal = Failed(text="no", reply=said, status=status, peer="192.0.2.1", phase="rcpt")
    softened = not_for_good(refusal)
    assert softened == Deferred(text="no", reply=said, status="4.5.3", peer="192.0.2.1")
    assert left_over({"a": TAKEN, "b": softened}) == ("b",)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("552 5.2.2 mailbox full", "5.2.2"),
        ("552 mailbox full", "5.0.0"),
        ("552 5.3.4 too big", "5.3.4"),
        ("550 5.5.3 too many recipients", "5.5.3"),
    ],
)
def test_other_refusals_stay_what_they_are(said: str, status: str) -> None:
    refusal = Failed(text="no", reply=said, status=status, phase="rcpt")
    assert not_for_good(refusal) is refusal
