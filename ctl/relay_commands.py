"""`tubepost relay`: who may relay because they have just logged in."""

from datetime import UTC, datetime

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json

relay = typer.Typer(help="The relay list (open-smtp).", no_args_is_help=True)


@relay.command("list")
def list_entries(data: Data = None, json: Json = False) -> None:
    """Address, user, end of the window, instance that saw the login."""
    found = Api(data).get("relay")
    if json:
        output.as_json(found)
        return
    output.lines(f"{e['ip']}\t{e['user']}\tuntil {_time(e['until'])}\t{e['by']}" for e in found)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
