"""Every `tubepost ...` command and every make target in the pages exists, options and all."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from ctl.main import app
from tests.docs.pages import ROOT, pages, text

TOOL = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?tubepost (.+)$")


def _code(page: Path) -> list[str]:
    """Lines of fenced blocks, and code inside sentences."""
    content = page.read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", content, flags=re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", content, flags=re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", rest)


def _commands() -> list[str]:
    found = {m[1] for page in pages() for line in _code(page) if (m := TOOL.match(line.strip()))}
    return sorted(found)


def _arguments(command: str) -> list[str]:
    """The words of a command; comments and what a shell would take are cut off."""
    words = shlex.split(command, comments=True)
    ends = [n for n, word in enumerate(words) if word in ("|", "<", ">", "&", "&&", "2>")]
    return words[: min(ends, default=len(words))]


def _parse(command: str) -> None:
    """Parses as the command would, and runs nothing. Raises for what it does not know."""
    here: Any = typer.main.get_command(app)
    words = _arguments(command)
    context = here.make_context("tubepost", list(words), resilient_parsing=True)
    while hasattr(here, "commands"):
        name, *words = words
        assert name in here.commands, f"there is no {name!r} in: tubepost {command}"
        here = here.commands[name]
        if not words and hasattr(here, "commands"):
            return  # a group named in a sentence
    here.make_context(here.name, words, parent=context)


@pytest.mark.parametrize("command", _commands())
def test_the_command_exists(command: str) -> None:
    _parse(command)


def test_there_are_commands_to_check() -> None:
    assert len(_commands()) > 10


@pytest.mark.parametrize("wrong", ["fly", "domain fly x", "domain add", "qstat --fly", "up --nats"])
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises((AssertionError, typer.exceptions.TyperException)):
        _parse(wrong)


def test_every_make_target_in_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text("Makefile"), flags=re.M))
    named = {
        match[1]
        for page in pages()
        for line in _code(page)
        if (match := re.match(r"^(?:\$ )?make ([a-z0-9-]+)", line))
    }
    assert named - targets == set()
    assert "test" in named


def test_the_readme_has_the_two_test_commands() -> None:
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    commands = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert commands.count("make test") == 1
    assert commands.count("make e2e") == 1
