"""docs/outcomes.md lists every kind of trouble, in the words of the code."""

from tests.docs.pages import names, table
from tubepost.reply_kinds import KINDS


def test_the_table_is_the_one_in_the_code() -> None:
    rows = table("docs/outcomes.md", "Kinds")
    written = {names(row["kind"])[0]: row["what the trouble is about"] for row in rows}
    assert written == KINDS
