"""docs/message-lifecycle.md has exactly the transitions of the code."""

from tests.docs.pages import table
from tubepost.lifecycle import TRANSITIONS
from tubepost.record import Fate, State

PAGE = "docs/message-lifecycle.md"


def _name(state: State | None) -> str:
    return str(state) if state else "(none)"


def test_the_table_of_transitions_is_the_one_in_the_code() -> None:
    written = [(row["from"], row["to"]) for row in table(PAGE, "States")]
    assert len(written) == len(set(written))
    in_code = {(_name(old), _name(new)) for old, news in TRANSITIONS.items() for new in news}
    assert set(written) == in_code


def test_every_state_and_fate_has_its_meaning() -> None:
    assert {row["state"] for row in table(PAGE, "What the states mean")} == set(State)
    assert {row["on the wire"] for row in table(PAGE, "Recipients")} == set(Fate)
