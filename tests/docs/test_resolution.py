"""docs/resolution.md has the rules of the code, in their order."""

from tests.docs.pages import names, table
from tubepost.resolution import Rule


def test_the_table_is_the_one_in_the_code() -> None:
    written = [names(row["rule"])[0] for row in table("docs/resolution.md", "Order")]
    assert written == list(Rule)
