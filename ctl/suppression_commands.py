"""`tubepost suppression`: recipients that were refused for good and are not tried again."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from tubepost.errors import BadInput

suppression = typer.Typer(
    help="Recipients that a host refused for good, and that are not tried for a while.",
    no_args_is_help=True,
)
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]

DAY = 86_400
OFF = "tubepost: the setting suppress is 0: every mail is tried, whatever stands here\n"


@suppression.command("list")
def list_all(
    domain: Annotated[str, typer.Option(metavar="DOMAIN", help="Only recipients there.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="So many, no more.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Address, since when, until when, the mail that was refused (- by hand), what was said."""
    found = islice(_all(Api(data), domain), limit)
    if json:
        output.as_json(list(found))
    else:
        output.lines(_line(one) for one in found)


@suppression.command("show")
def show(address: Address, data: Data = None, json: Json = False) -> None:
    """One of them. Exit code 1: it is not suppressed."""
    found = Api(data).get("suppressions", address)
    output.as_json(found) if json else output.lines([_line(found)])


@suppression.command("add")
def add(
    address: Address,
    days: Annotated[
        float | None, typer.Option(min=0, max=365, help="So long; default: the setting suppress.")
    ] = None,
    reason: Annotated[str, typer.Option(help="What senders are told.")] = "",
    data: Data = None,
) -> None:
    """Let every mail for an address fail at once."""
    api, new = Api(data), {"address": address, "reason": reason}
    seconds = {} if days is None else {"seconds": max(1, round(days * DAY))}
    output.lines([_line(api.post("suppressions", json=new | seconds))])
    if not api.get("suppressions", limit=1)["seconds"]:
        sys.stderr.write(OFF)


@suppression.command("remove")
def remove(address: Address, data: Data = None) -> None:
    """Try it again from the next mail on."""
    Api(data).delete("suppressions", address)


@suppression.command("clear")
def clear(
    domain: Annotated[str, typer.Option(metavar="DOMAIN", help="Those of a domain.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    data: Data = None,
) -> None:
    """Remove many at once; says how many."""
    if bool(domain) == everything:
        raise BadInput("give one of --domain DOMAIN and --all")
    api, removed, cursor = Api(data), 0, 0
    while cursor is not None:
        which = {"domain": domain, "all": everything, "cursor": cursor}
        done = api.post("suppressions", "clear", json=which)
        removed, cursor = removed + done["removed"], done["next"]
    output.lines([f"removed: {removed}"])


def _all(api: Api, domain: str) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        page = api.get("suppressions", domain=domain, after=after)
        yield from page["suppressions"]
        after = page["next"]
    if not page["seconds"]:
        sys.stderr.write(OFF)


def _line(one: dict[str, Any]) -> str:
    since, until = _time(one["at"]), _time(one["until"])
    mail = one["mail_id"] or "-"
    return f"{one['address']}\tsince {since}\tuntil {until}\t{mail}\t{one['reply']}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
