"""Our SMTP client in golden conversations, and every sentence that an outcome of it can have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.remote.smtp import sentences
from tests.conversations.play import ConversationError
from tests.conversations.play_client import play

ROOT = Path(__file__).parents[2]
CONVERSATIONS = sorted((Path(__file__).parent / "remote").glob("*.txt"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_conversation(path: Path) -> None:
    play(path)


def test_every_sentence_is_heard() -> None:
    said = heard()
    missing = [text for text in templates() if not re.search(pattern(text), said)]
    assert missing == []


def test_everything_that_makes_no_sense_is_heard() -> None:
    said = heard()
    errors = [text for text in reply_errors() if not re.search(f"no sense: {pattern(text)}", said)]
    assert errors == []


@pytest.mark.parametrize(
    "lines",
    ["S: 220 hi", "S: 220 hi\nC: HELO x", "= ready", "S: 220 hi\nC: EHLO me.example\n= ready"],
)
def test_the_player_notices_what_is_not_so(lines: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text(f"# why\n{lines}\n")
    with pytest.raises(ConversationError):
        play(path)


def heard() -> str:
    """What the conversations expect of outcomes."""
    lines = (line for path in CONVERSATIONS for line in path.read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line.startswith("= "))


def templates() -> list[str]:
    return [text for name, text in vars(sentences).items() if name.isupper()]


def reply_errors() -> Iterator[str]:
    for path in (ROOT / "services" / "remote").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ReplyError":
                yield template(node.args[0])


def template(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    assert isinstance(node, ast.Constant)
    return str(node.value)


def pattern(text: str) -> str:
    return re.sub(r"\\\{[a-z_]*\\\}", ".+", re.escape(text))
