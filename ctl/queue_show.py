"""`tubepost queue show`: one mail in full."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json

Shown = dict[str, Any]


def show(
    mail_id: Annotated[str, typer.Argument(metavar="ID")],
    body: Annotated[bool, typer.Option("--body", help="The mail itself, as accepted.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """One mail: where it stands, when it is tried next, what was said, its header."""
    api, mail_id = Api(data), mail_id.removeprefix("#")
    if body:
        for piece in api.pieces("queue", mail_id, "body"):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    mail = api.get("queue", mail_id)
    output.as_json(mail) if json else output.lines(lines(mail, time.time()))


def lines(mail: Shown, now: float) -> Iterator[str]:
    """For people. Times are UTC."""
    if mail["created"] is None:
        yield f"#{mail['id']}  {mail['state']}"
    else:
        yield f"#{mail['id']}  {mail['size']}  <{mail['sender']}>  {mail['state']}"
        yield f"accepted {when(mail['created'], now)}, priority {mail['priority']}"
    for unit in mail["units"]:
        yield ""
        yield from _unit(unit, now)
    if mail["headers"] is not None:
        yield ""
        yield from mail["headers"].rstrip("\n").split("\n")


def _unit(unit: Shown, now: float) -> Iterator[str]:
    if "why" in unit:
        yield f"unit {unit['unit']}  unreadable: {unit['why']}"
        return
    where = [unit["channel"], unit["destination"], unit["state"]]
    if unit["stands"] not in (None, unit["state"]):
        where.append(unit["stands"])
    yield "  ".join([f"unit {unit['unit']}", *(word for word in where if word)])
    if unit["count"]:
        yield f"  {unit['count']} {'recipients' if unit['state'] == 'split' else 'units made'}"
    if unit["channel"]:
        next_try = unit["next_attempt"]
        then = "" if next_try is None else f", next try {when(next_try, now)}"
        yield f"  attempts {unit['attempts']}{then}"
    if unit["note"]:
        note = unit["note"]
        yield f"  by {note['by']}, {when(note['at'], now)}: {note['why'] or 'no reason given'}"
    for recipient in unit["recipients"]:
        kind = f"({recipient['kind']})" if recipient.get("kind") else ""
        said = " ".join(word for word in (recipient["status"], kind, recipient["reply"]) if word)
        yield "  ".join(["", recipient["address"], recipient["fate"], *([said] if said else [])])


def when(at: float, now: float) -> str:
    """`2026-01-31T10:00:00Z (in 6 min)`."""
    moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    span = _span(abs(at - now))
    return f"{moment} ({'in ' + span if at > now else span + ' ago'})"


def _span(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"
