"""`tubepost history` and `tubepost resolve`: who changed what, and what an address stands for."""

import time
from typing import Annotated, Any

import typer

from ctl import directory_lines
from ctl.asking import Address, Asking, asking
from ctl.spans import seconds


@asking
def history(
    ask: Asking,
    what: Annotated[str, typer.Argument(metavar="ADDRESS|DOMAIN", help="Default: all.")] = "",
    since: Annotated[str, typer.Option(help="Changes of so long: 90s, 15m, 2h, 7d.")] = "",
    number: Annotated[int, typer.Option("-n", min=1, max=1000, help="So many, no more.")] = 100,
) -> None:
    """Changes of the directory, the newest first: when, who, what. 16 of each address are kept."""
    query: dict[str, Any] = {"limit": number}
    query |= {"address" if "@" in what else "domain": what} if what else {}
    query |= {"since": time.time() - seconds(since)} if since else {}
    found = ask.api.get("history", **query)
    ask.say(found, map(directory_lines.change, found))


@asking
def resolve(ask: Asking, address: Address) -> None:
    """What is done with mail for an address, as qmail-local -n says it. Exit code 1: refused."""
    found = ask.api.get("resolve", address)
    ask.say(found, directory_lines.resolution(found))
    refused = any(action["name"] == "refuse" for action in found["actions"])
    raise typer.Exit(1 if refused else 0)
