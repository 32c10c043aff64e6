"""docs/logs.md lists every event that maillog can write, with its level and its fields."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.docs.pages import ROOT, names, table
from tubepost import outcome

LEVELS = {"debug", "info", "warning", "error", "exception"}

CALLERS_SAY = {"login": "login.", "relay_opened": "relay."}
"""Functions of maillog whose event ends with the argument `result`; its values are the callers'."""


@dataclass(frozen=True)
class Event:
    """`open`: more fields come in a mapping."""

    name: str
    level: str
    fields: frozenset[str]
    open: bool


def test_the_table_has_every_event_with_its_fields() -> None:
    rows = {names(row["event"])[0]: row for row in table("docs/logs.md", "Events")}
    events = {event.name: event for event in _events()}
    assert set(rows) == set(events)
    for name, event in events.items():
        written = set(names(rows[name]["fields"]))
        assert rows[name]["level"] == event.level, name
        assert event.fields <= written, name
        assert event.open or written == event.fields, name


def _events() -> Iterator[Event]:
    """From the calls of `_log` in maillog."""
    tree = ast.parse((ROOT / "tubepost/maillog.py").read_text())
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        for call in _calls(function, "_log"):
            fields = frozenset(word.arg for word in call.keywords if word.arg)
            opened = any(word.arg is None for word in call.keywords)
            level = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            for name in _event_names(function.name, call.args[0]):
                yield Event(name, "error" if level == "exception" else level, fields, opened)


def _calls(tree: ast.AST, owner: str) -> Iterator[ast.Call]:
    """Calls of `owner.something(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on = node.func.value
            if isinstance(on, ast.Name) and on.id == owner:
                if owner == "_log":
                    assert node.func.attr in LEVELS
                yield node


def _event_names(function: str, argument: ast.expr) -> set[str]:
    if isinstance(argument, ast.Constant):
        return {str(argument.value)}
    assert isinstance(argument, ast.BinOp)
    assert isinstance(argument.left, ast.Constant)
    prefix = str(argument.left.value)
    if function == "attempted":
        return {prefix + name for name in outcome.NAMES.values()}
    assert CALLERS_SAY[function] == prefix
    return {prefix + result for result in _results(function)}


def _results(function: str) -> set[str]:
    """The values that callers give for `result`."""
    found: set[str] = set()
    for folder in ("tubepost", "services", "ctl"):
        for path in ROOT.glob(f"{folder}/**/*.py"):
            for call in _calls(ast.parse(path.read_text()), "maillog"):
                if isinstance(call.func, ast.Attribute) and call.func.attr == function:
                    found |= set(_constants(call))
    assert found
    return found


def _constants(call: ast.Call) -> Iterator[str]:
    for word in call.keywords:
        if word.arg == "result":
            values = (
                (word.value.body, word.value.orelse)
                if isinstance(word.value, ast.IfExp)
                else (word.value,)
            )
            for value in values:
                assert isinstance(value, ast.Constant)
                yield str(value.value)
