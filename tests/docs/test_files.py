"""The files that pages name are there, and the page of a service names each of its modules once."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, text

FILE = re.compile(r"`([a-z0-9_/]+\.py|[a-z0-9_/]+/)`")


def _named(page: str) -> list[Path]:
    """Each from the top, or from the folder of the one before it in its line."""
    found = []
    for line in text(page).splitlines():
        folder = ROOT
        for name in FILE.findall(line):
            found.append(ROOT / name if (ROOT / name).exists() else folder / name)
            folder = found[-1].parent
    return found


def test_every_file_of_the_specifications_is_there() -> None:
    named = _named("docs/specifications.md")
    assert [str(path) for path in named if not path.exists()] == []
    assert len(named) > 40


@pytest.mark.parametrize(
    ("service", "folders"),
    [("smtpd", {"policies/"}), ("remote", {"smtp/"}), ("scheduler", set()), ("popauth", set())],
)
def test_a_service_names_each_of_its_modules_once(service: str, folders: set[str]) -> None:
    folder = ROOT / "services" / service
    named = Counter(FILE.findall((folder / "README.md").read_text()))
    there = {path.name for path in folder.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert set(named) == there | folders
    assert [name for name, count in named.items() if count > 1] == []
