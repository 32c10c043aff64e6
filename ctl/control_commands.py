"""`tubepost control`: qmail's control files as settings."""

import sys
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from tubepost.errors import BadInput

control = typer.Typer(help="Control settings, as in /var/qmail/control.", no_args_is_help=True)


@control.command("get")
def get_setting(name: str, data: Data = None, json: Json = False) -> None:
    """Print a setting's lines."""
    found = Api(data).get("control", name)
    output.as_json(found) if json else output.lines(found["lines"] or ["(Default.)"])


@control.command("set")
def set_setting(
    name: str,
    lines: Annotated[
        list[str] | None, typer.Argument(help="The value; a list's entries one by one.")
    ] = None,
    data: Data = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the lines from standard input.")
    ] = False,
) -> None:
    """Set a setting. A wrong value is refused and the old one kept."""
    if stdin is bool(lines):
        raise BadInput("give the value, or --stdin")
    if stdin:  # a password in a list of arguments is everybody's to read
        lines = sys.stdin.read().splitlines()
    output.lines(_shown(Api(data).put("control", name, json={"lines": lines})))


@control.command("unset")
def unset(name: str, data: Data = None) -> None:
    """Put a setting back to its default."""
    output.lines(_shown(Api(data).put("control", name, json={"lines": []})))


@control.command("list")
def list_settings(data: Data = None, json: Json = False) -> None:
    """Print every setting, as qmail-showctl does."""
    found = Api(data).get("control")
    if json:
        output.as_json(found)
        return
    for setting in found:
        output.lines(_shown(setting))


def _shown(setting: dict[str, Any]) -> list[str]:
    lines = setting["lines"]
    if lines is None:
        return [f"{setting['name']}: (Default.) {setting['help']}"]
    return [f"{setting['name']}: {line}" for line in lines]
