"""What the command writes: lines for people and scripts, or JSON. And the options all share."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data folder of the tubepost to ask. Default: data, or TUBEPOST_ADMIN."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def lines(texts: Iterable[str]) -> None:
    """Each on a line of its own."""
    for text in texts:
        sys.stdout.write(text + "\n")


def as_json(value: Any) -> None:
    """For programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def note(text: str) -> None:
    """Beside what was asked for: on stderr, so that a script reads past it."""
    sys.stderr.write(f"tubepost: {text}\n")
