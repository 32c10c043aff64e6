"""docs/events.md lists every event with its fields, as the code tells them."""

import ast
from collections.abc import Iterator

from ctl.qmail_log import UIDS
from tests.docs.pages import ROOT, names, table
from tubepost.events import KINDS

PAGE = "docs/events.md"
TELLERS = {"_events", "events"}


def test_the_table_has_every_event_with_its_fields() -> None:
    rows = table(PAGE, "Events")
    written = {names(row["event"])[0]: tuple(names(row["fields"])) for row in rows}
    assert len(written) == len(rows)
    assert written == KINDS


def test_every_field_has_its_meaning() -> None:
    fields = {field for fields in KINDS.values() for field in fields}
    rows = table(PAGE, "Fields")
    assert {name for row in rows for name in names(row["field"])} == fields


def test_the_user_ids_are_those_of_the_log() -> None:
    rows = table(PAGE, "qmail's log")
    assert {names(row["source"])[0]: int(row["uid"]) for row in rows} == UIDS


def _told() -> Iterator[tuple[str, set[str], bool]]:
    """(event, fields, whether more come in a mapping) of every `emit` in the code."""
    for folder in ("tubepost", "services", "ctl"):
        for path in ROOT.glob(f"{folder}/**/*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    on = node.func.value
                    teller = on.attr if isinstance(on, ast.Attribute) else getattr(on, "id", "")
                    if node.func.attr == "emit" and teller in TELLERS:
                        yield _call(node)


def _call(node: ast.Call) -> tuple[str, set[str], bool]:
    kind = node.args[0]
    assert isinstance(kind, ast.Constant), ast.unparse(node)
    fields = {word.arg for word in node.keywords if word.arg and word.arg != "at"}
    return str(kind.value), fields, any(word.arg is None for word in node.keywords)


def test_what_the_code_tells_is_in_the_table() -> None:
    found = list(_told())
    assert found
    for kind, fields, more in found:
        assert fields <= set(KINDS[kind]), kind
        assert more or fields == set(KINDS[kind]), kind
