"""docs/outcomes.md lists every phase and every kind of trouble, in the words of the code."""

from services.remote.smtp.events import Phase
from tests.docs.pages import names, table, text
from tubepost.reply_kinds import KINDS


def test_the_table_is_the_one_in_the_code() -> None:
    rows = table("docs/outcomes.md", "Kinds")
    written = {names(row["kind"])[0]: row["what the trouble is about"] for row in rows}
    assert written == KINDS


def test_the_phases_are_those_in_which_an_attempt_can_end() -> None:
    """A handshake that fails is told as `connect`."""
    _, _, below = text("docs/outcomes.md").partition("## Phases\n")
    told = set(names(below.partition("\n#")[0]))
    never = {Phase.HANDSHAKE, Phase.IDLE, Phase.CLOSED}
    assert told == {"dns", "connect", *(phase for phase in Phase if phase not in never)}
