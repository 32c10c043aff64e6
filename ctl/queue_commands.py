"""`tubepost queue ...`: what an operator sees of mails and does to them, and pauses."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ctl import destination_commands, output, queue_actions, queue_show
from ctl.client import Api
from ctl.output import Data, Json
from ctl.queue_actions import Actor, Reason, actor_header

queue = typer.Typer(help="Mails in the queue: look, hold, release, remove.", no_args_is_help=True)
queue.command("show")(queue_show.show)
for _name in queue_actions.ACTIONS:
    queue.command(_name)(queue_actions.command(_name))
queue.command("destinations")(destination_commands.listed)
queue.command("reset")(destination_commands.reset)

What = Annotated[list[str], typer.Argument(help="all, local, remote, or a destination's domain.")]


@queue.command("pause")
def pause(what: What, reason: Reason = "", actor: Actor = None, data: Data = None) -> None:
    """Send nothing more, until resumed; what is being delivered goes on."""
    api = Api(data)
    for each in what:
        done = api.put("pauses", each, json={"reason": reason}, headers=actor_header(actor))
        output.lines([f"paused {done['what']}"])


@queue.command("resume")
def resume(what: What, reason: Reason = "", actor: Actor = None, data: Data = None) -> None:
    """End pauses; others stay."""
    api = Api(data)
    for each in what:
        done = api.delete("pauses", each, json={"reason": reason}, headers=actor_header(actor))
        output.lines([f"resumed {done['what']}"])
    left = [pause["what"] for pause in api.get("pauses")]
    if left:
        output.lines([f"still paused: {', '.join(left)}"])


@queue.command("pauses")
def pauses(data: Data = None, json: Json = False) -> None:
    """What is paused, by whom, since when, why."""
    found = Api(data).get("pauses")
    if json:
        output.as_json(found)
        return
    output.lines(f"{p['what']}\tby {p['by']}\tsince {_time(p['at'])}\t{p['why']}" for p in found)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
