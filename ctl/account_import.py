"""`tubepost account import`: many accounts from a file, slice by slice.

It may be stopped and run again at any time: accounts that are there are left as they are.
"""

import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from ctl.account_rows import Row, rows
from ctl.asking import Asking, asking
from ctl.client import Api, Refused
from ctl.typed import STDIN
from tubepost.errors import BadInput

SLICE = 500
"""As many as the platform takes at once."""

HASHED = 40
"""Passwords in a slice: a hash takes the platform some 0.1 s, an answer has to come in 30 s."""

SHOWN = 20
"""Accounts that are told of one by one; --json has all."""


@dataclass(slots=True)
class Done:
    """What has come of the lines so far."""

    added: int = 0
    existing: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    line: int = 0

    @property
    def said(self) -> str:
        return (
            f"added {self.added}, there already {len(self.existing)}, refused {len(self.refused)}"
        )


@asking
def import_accounts(
    ask: Asking,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="- = standard input.")],
    check: Annotated[bool, typer.Option("--check", help="Only read the file.")] = False,
) -> None:
    """Add accounts from CSV lines: address, password or {ARGON2}hash, quota. Changes none.

    Exit code 1: lines were refused; the others are done.
    """
    done = Done()
    try:
        with _opened(file) as lines:
            for part in _slices(rows(lines)):
                _add(ask.api, part, done, check=check)
                _progress(done)
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 after line {done.line} ({done.said})") from error
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    answer = {"added": done.added, "existing": done.existing, "refused": done.refused}
    ask.say(answer, _said(done, check=check))
    raise typer.Exit(1 if done.refused else 0)


def _opened(file: Path) -> TextIO:
    if file == STDIN:
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error


def _slices(found: Iterable[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    passwords = 0
    for row in found:
        part.append(row)
        passwords += row.costs
        if len(part) == SLICE or passwords == HASHED:
            yield part
            part, passwords = [], 0
    if part:
        yield part


def _add(api: Api, part: list[Row], done: Done, *, check: bool) -> None:
    done.refused += [_refusal(row.line, "", row.why) for row in part if row.why]
    good = [] if check else _once([row for row in part if not row.why], done)
    if good:
        answer = _asked(api, good, done)
        line_of = {row.account["address"].lower(): row.line for row in good}
        done.added += len(answer["added"])
        done.existing += answer["existing"]
        done.refused += [
            _refusal(line_of.get(one["address"].lower(), 0), one["address"], one["detail"])
            for one in answer["refused"]
        ]
    done.line = part[-1].line


def _once(good: list[Row], done: Done) -> list[Row]:
    """The first of each address: the platform tells nothing of the others."""
    first: dict[str, Row] = {}
    for row in good:
        if first.setdefault(row.account["address"].lower(), row) is not row:
            done.existing.append(row.account["address"])
    return list(first.values())


def _asked(api: Api, good: list[Row], done: Done) -> Any:
    try:
        return api.post("accounts:bulk", json={"accounts": [row.account for row in good]})
    except Refused as refused:
        raise Refused(
            f"stopped after line {done.line} ({done.said}): {refused}; run it again to go on, "
            "what is there stays as it is",
            refused.status,
        ) from refused


def _refusal(line: int, address: str, detail: str) -> dict[str, Any]:
    return {"line": line, "address": address, "detail": detail}


def _progress(done: Done) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rline {done.line}: {done.said}")


def _said(done: Done, *, check: bool) -> Iterator[str]:
    if check:
        yield f"read {done.line} lines, {len(done.refused)} are wrong"
    else:
        yield done.said
    yield from _few([f"  there already: {address}" for address in done.existing])
    yield from _few([_wrong(one) for one in done.refused])


def _wrong(one: dict[str, Any]) -> str:
    address = f"{one['address']}: " if one["address"] else ""
    return f"  line {one['line']}: {address}{one['detail']}"


def _few(lines: list[str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN} more; --json has all"
