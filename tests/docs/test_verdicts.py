"""docs/verdicts.md lists every verdict that smtpd can give, in the order in which it is asked."""

import ast
import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

from services.smtpd import policy
from services.smtpd.policies import hostile
from services.smtpd.refusal import Refusal
from tests.docs.pages import ROOT, names, table

CHAINS: tuple[tuple[Callable[..., Any], ...], ...] = (
    policy.CONNECT,
    policy.GREETING,
    policy.MAIL,
    policy.RCPT,
    policy.STRANGER,
    policy.DATA,
)


def test_the_table_has_every_verdict() -> None:
    written = _written()
    assert len(written) == len(set(written))
    assert set(written) == set(_verdicts())


def test_the_rows_have_the_order_of_the_chains() -> None:
    """A verdict of two policies stands where the first of them does."""
    asked = list(dict.fromkeys(_verdict(one) for chain in CHAINS for one in chain))
    assert [verdict for verdict in _written() if verdict in asked] == asked


def _written() -> list[str]:
    return [names(row["verdict"])[0] for row in table("docs/verdicts.md", "Verdicts")]


def _verdicts() -> list[str]:
    """The first argument of each Refusal(...) in smtpd."""
    found = []
    for path in (ROOT / "services/smtpd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refusal":
                verdict = node.args[0]
                assert isinstance(verdict, ast.Constant), f"{path}: a verdict is a plain string"
                found.append(str(verdict.value))
    assert found
    return found


def _verdict(asked: Callable[..., object]) -> str:
    """What a policy says, from its text: the refusal stands in it, or by name in its module."""
    text = inspect.getsource(asked)
    if found := re.search(r'Refusal\(\s*"(\w+)"', text):
        return found[1]
    known = {**vars(hostile), **vars(sys.modules[asked.__module__])}
    [verdict] = {
        value.verdict
        for name, value in known.items()
        if isinstance(value, Refusal) and re.search(rf"\b{name}\b", text)
    }
    return verdict
