"""Every `tubepost ...` command and every make target in the pages exists, options and all."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from ctl.main import app
from tests.docs.pages import FENCED, ROOT, pages, text

TOOL = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?tubepost (.+)$")


def _blocks(page: Path) -> list[str]:
    """Lines of fenced blocks."""
    blocks = FENCED.findall(page.read_text())
    return [line.strip() for block in blocks for line in block.splitlines()]


def _in_sentences(page: Path) -> list[str]:
    """Code inside sentences and tables."""
    rest = FENCED.sub("", page.read_text())
    return [code.strip() for code in re.findall(r"`([^`\n]+)`", rest)]


def _commands(code: Callable[[Path], list[str]]) -> list[str]:
    return sorted({m[1] for page in pages() for line in code(page) if (m := TOOL.match(line))})


def _arguments(command: str) -> list[str]:
    """The words of a command; comments and what a shell would take are cut off."""
    words = shlex.split(command, comments=True)
    ends = [n for n, word in enumerate(words) if re.match(r"[|<>&]|2>", word)]
    return words[: min(ends, default=len(words))]


def _parse(command: str, *, mention: bool = False) -> None:
    """Parses as the command would, and runs nothing. Raises for what it does not know.

    `mention`: a name without arguments will do, as in "`tubepost send` puts a mail in".
    """
    here: Any = typer.main.get_command(app)
    context = here.make_context("tubepost", _arguments(command), resilient_parsing=True)
    words = _arguments(command)
    while hasattr(here, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        assert name in here.commands, f"there is no {name!r} in: tubepost {command}"
        here = here.commands[name]
    if words or not mention:
        here.make_context(here.name, words, parent=context)


@pytest.mark.parametrize("command", _commands(_blocks))
def test_a_command_to_be_typed_is_right(command: str) -> None:
    _parse(command)


@pytest.mark.parametrize("command", _commands(_in_sentences))
def test_a_command_in_a_sentence_exists(command: str) -> None:
    _parse(command, mention=True)


def test_there_are_commands_to_check() -> None:
    assert len(_commands(_blocks)) > 10
    assert len(_commands(_in_sentences)) > 10


@pytest.mark.parametrize(
    "wrong", ["fly", "domain fly x", "domain", "domain add", "qstat --fly", "up --nats"]
)
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, typer.exceptions.TyperException)):
        _parse(wrong)


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text("Makefile"), flags=re.M))
    named = {
        match[1]
        for page in pages()
        for line in _blocks(page) + _in_sentences(page)
        if (match := re.match(r"^(?:\$ )?make ([a-z0-9-]+)", line))
    }
    assert named - targets == set()
    assert "test" in named


def test_the_readme_has_the_two_test_commands() -> None:
    commands = [line.split("#")[0].strip() for line in _blocks(ROOT / "README.md")]
    assert commands.count("make test") == 1
    assert commands.count("make e2e") == 1
