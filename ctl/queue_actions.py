"""`tubepost queue flush|hold|release|bounce|delete|rejuvenate`: ids, a filter, or everything."""

import functools
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api, Refused
from ctl.output import Data, Json
from ctl.queue_filters import Chosen, filtered
from tubepost.errors import BadInput

ACTIONS = {
    "flush": "Try waiting mails now; the times after that stay as they were.",
    "hold": "No more tries until they are released.",
    "release": "Held or parked mails go on, at once.",
    "bounce": "Give up: the sender gets a bounce now.",
    "delete": "Remove mails; nobody is told.",
    "rejuvenate": "As if they had come just now: age, schedule and lifetime begin again.",
}

SHOWN = 20
"""Reasons that are printed; --json has all."""

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="Every mail in the queue.")]
Yes = Annotated[bool, typer.Option("--yes", help="With --all: yes, every mail.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the mail and logged.")]
Actor = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who. Default: TUBEPOST_ACTOR, or your user name."),
]


def command(action: str) -> Callable[..., None]:
    """The command for an action."""

    @filtered
    def act(  # noqa: PLR0913 - its options
        chosen: Chosen,
        ids: Ids = None,
        everything: Everything = False,
        yes: Yes = False,
        reason: Reason = "",
        actor: Actor = None,
        data: Data = None,
        json: Json = False,
    ) -> None:
        _check(action, ids or [], chosen, everything=everything, yes=yes)
        post = functools.partial(
            Api(data).post, json={"reason": reason}, headers=actor_header(actor)
        )
        done = _on_ids(post, action, ids) if ids else _on_matching(post, action, chosen)
        output.as_json(done) if json else output.lines(_said(action, done))
        if ids and not done["changed"]:
            first = done["unchanged"][0]
            raise Refused(f"nothing changed: #{first['id']}: {first['why']}")

    act.__doc__ = ACTIONS[action]
    return act


def actor_header(actor: str | None) -> dict[str, str]:
    """Who does it, as far as it can be known; only what a header may hold."""
    name = actor or os.environ.get("TUBEPOST_ACTOR") or _user()
    return {"X-Tubepost-Actor": "".join(c if " " <= c <= "~" else "?" for c in name)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""  # the platform has a name for nobody


def _check(action: str, ids: list[str], chosen: Chosen, *, everything: bool, yes: bool) -> None:
    if sum([bool(ids), bool(chosen), everything]) != 1:
        raise BadInput(
            f"say which mails to {action}: ids, or a filter such as --domain far.example, or --all"
        )
    if everything and not yes and action != "flush":
        raise BadInput(f"{action} --all is for every mail in the queue; if you mean it, add --yes")


def _on_ids(post: Callable[..., Any], action: str, ids: list[str]) -> dict[str, Any]:
    """Each in turn. One that is unknown stops nothing; it is told at the end."""
    total: dict[str, Any] = {"matched": 0, "changed": 0, "unchanged": []}
    for mail_id in (text.removeprefix("#") for text in ids):
        try:
            _add(total, post("queue", mail_id, action))
        except Refused as refused:
            if len(ids) == 1 or refused.status != 404:
                raise
            total["unchanged"].append({"id": mail_id, "unit": "", "why": str(refused)})
    return total


def flush(post: Callable[..., Any], chosen: Chosen) -> dict[str, Any]:
    """What `tubepost queue flush` does with a filter."""
    return _on_matching(post, "flush", chosen)


def _on_matching(post: Callable[..., Any], action: str, chosen: Chosen) -> dict[str, Any]:
    """Slice after slice."""
    total: dict[str, Any] = {"matched": 0, "changed": 0, "unchanged": []}
    query = chosen or {"all": True}
    cursor: str | None = ""
    while cursor is not None:
        done = post("queue", action, params={**query, "cursor": cursor})
        _add(total, done)
        cursor = done["next"]
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{action}: {total['changed']} of {total['matched']} so far")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return total


def _add(total: dict[str, Any], done: dict[str, Any]) -> None:
    for name in total:
        total[name] += done[name]


def _said(action: str, done: dict[str, Any]) -> Iterator[str]:
    yield f"{action}: {done['changed']} of {done['matched']} done"
    for left in done["unchanged"][:SHOWN]:
        yield f"  #{left['id']} unit {left['unit'] or '-'}: {left['why']}"
    if len(done["unchanged"]) > SHOWN:
        yield f"  and {len(done['unchanged']) - SHOWN} more"
