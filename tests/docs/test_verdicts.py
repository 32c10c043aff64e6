"""docs/verdicts.md lists every verdict that smtpd can give."""

import ast

from tests.docs.pages import ROOT, names, table


def test_the_table_has_every_verdict() -> None:
    written = [names(row["verdict"])[0] for row in table("docs/verdicts.md", "Verdicts")]
    assert len(written) == len(set(written))
    assert set(written) == set(_verdicts())


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
