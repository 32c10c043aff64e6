"""`tubepost alias`: addresses that stand for others."""

from typing import Annotated, Any

import typer

from ctl import directory_lines
from ctl.asking import Address, Asking, asking
from ctl.directory_pages import say_addresses
from tubepost.errors import BadInput

aliases = typer.Typer(help="Addresses that stand for others.", no_args_is_help=True)

Owner = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help='Gets the bounces of what is sent on; "": the sender.'),
]
Verp = Annotated[
    bool | None,
    typer.Option("--verp/--no-verp", help="A sender address for each recipient, of the owner's."),
]


@aliases.command("add")
@asking
def add(
    ask: Asking,
    address: Address,
    to: Annotated[list[str], typer.Argument(metavar="TO")],
    owner: Owner = None,
    verp: Verp = None,
) -> None:
    """Add an alias: mail for ADDRESS goes to each TO."""
    new = {"address": address, "to": to, "owner": owner or "", "verp": bool(verp)}
    added = ask.api.post("aliases", json=new)
    ask.say(added, [f"added {added['address']}"])


@aliases.command("set")
@asking
def set_alias(
    ask: Asking,
    address: Address,
    to: Annotated[list[str] | None, typer.Argument(metavar="TO", help="All of them.")] = None,
    owner: Owner = None,
    verp: Verp = None,
) -> None:
    """Change an alias; what is not given stays as it is."""
    given: dict[str, Any] = {"to": to or None, "owner": owner, "verp": verp}
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        raise BadInput("say what to set: the addresses it stands for, --owner, --verp or --no-verp")
    old = ask.api.get("aliases", address)
    whole = {name: old[name] for name in given} | wanted
    found = ask.api.put("aliases", address, json=whole)
    ask.say(found, directory_lines.alias(found))


@aliases.command("show")
@asking
def show(ask: Asking, address: Address) -> None:
    """An alias: whom it stands for, who gets bounces."""
    found = ask.api.get("aliases", address)
    ask.say(found, directory_lines.alias(found))


@aliases.command("remove")
@asking
def remove(ask: Asking, address: Address) -> None:
    """Remove an alias; the mailboxes it stands for stay."""
    ask.api.delete("aliases", address)
    ask.say({"removed": address}, [f"removed {address}"])


@aliases.command("list")
@asking
def list_all(
    ask: Asking, domain: Annotated[str, typer.Argument(help="Only of this domain.")] = ""
) -> None:
    """List the aliases."""
    say_addresses(ask, "alias", domain)
