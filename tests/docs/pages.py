"""The pages of the documentation as tests see them: files, headings, tables, code."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", flags=re.M | re.S)
"""A block of code; its content is group 1. It may stand in a list."""

Row = dict[str, str]


def text(path: str) -> str:
    """A page, by its path from the top."""
    return (ROOT / path).read_text()


def files() -> list[Path]:
    """Every file that git has or would take."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = (name for name in done.stdout.decode().split("\0") if name)
    return sorted(path for name in set(names) if (path := ROOT / name).is_file())


def pages() -> list[Path]:
    """Every Markdown page."""
    return [path for path in files() if path.suffix == ".md"]


def table(path: str, heading: str) -> list[Row]:
    """The first table below a heading: a row each, by column."""
    lines = text(path).splitlines()
    at = next(n for n, line in enumerate(lines) if line.lstrip("# ") == heading and line[:1] == "#")
    start = next(n for n in range(at, len(lines)) if lines[n].startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    head, _, *body = rows
    return [dict(zip(head, row, strict=True)) for row in body]


def names(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def without_code(page: str) -> str:
    """The page without fenced blocks and code in lines: links in these are no links."""
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", page))
