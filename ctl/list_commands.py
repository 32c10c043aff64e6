"""`tubepost list`: mailing lists and who is on them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ctl import directory_lines
from ctl.asking import Address, Asking, asking
from ctl.directory_pages import say_addresses
from ctl.typed import FromFile, addresses
from tubepost.directory_values import POSTING
from tubepost.errors import BadInput

lists = typer.Typer(help="Mailing lists.", no_args_is_help=True)

Posting = Annotated[
    str | None, typer.Option(metavar="|".join(POSTING), help="Who may write to it.")
]
Moderators = Annotated[
    list[str] | None,
    typer.Option("--moderator", metavar="ADDRESS", help='May be given often; "": nobody.'),
]
Name = Annotated[str | None, typer.Option(help="What the list is about, for its headers.")]
Given = Annotated[list[str] | None, typer.Argument(metavar="MEMBER")]


@lists.command("add")
@asking
def add(  # noqa: PLR0913 - its options
    ask: Asking,
    address: Address,
    owner: Annotated[str, typer.Option(metavar="ADDRESS", help="Gets the bounces.")],
    members: Given = None,
    file: FromFile = None,
    posting: Posting = None,
    moderators: Moderators = None,
    name: Name = None,
) -> None:
    """Add a mailing list."""
    new = {"address": address, "owner": owner, "members": addresses(members, file)}
    added = ask.api.post("lists", json=new | _given(posting, moderators, name))
    ask.say(added, [f"added {added['address']}, {_members_in(len(new['members']))}"])


@lists.command("set")
@asking
def set_list(
    ask: Asking,
    address: Address,
    owner: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Gets the bounces.")] = None,
    posting: Posting = None,
    moderators: Moderators = None,
    name: Name = None,
) -> None:
    """Change a list; what is not given stays as it is."""
    wanted = _given(posting, moderators, name) | ({} if owner is None else {"owner": owner})
    if not wanted:
        raise BadInput("say what to set: --owner, --posting, --moderator or --name")
    _show(ask, ask.api.patch("lists", address, json=wanted))


@lists.command("show")
@asking
def show(ask: Asking, address: Address) -> None:
    """A list: owner, who may write, how many members."""
    _show(ask, ask.api.get("lists", address))


@lists.command("members")
@asking
def members(
    ask: Asking,
    address: Address,
    file: Annotated[
        Path | None,
        typer.Option("--set-from", metavar="FILE", help="From now on these and no others."),
    ] = None,
) -> None:
    """List the members, or put those of a file in their place."""
    if file:
        found = ask.api.patch("lists", address, json={"members": addresses(None, file)})
    else:
        found = ask.api.get("lists", address)
    ask.say(found["members"], found["members"])


@lists.command("join")
@asking
def join(ask: Asking, address: Address, members: Given = None, file: FromFile = None) -> None:
    """Put addresses on a list; those that are on it already stay so."""
    done = ask.api.post("lists", address, "members", json=_members(members, file))
    ask.say(done, [f"{len(done['changed'])} joined {address}, now {_members_in(done['count'])}"])


@lists.command("leave")
@asking
def leave(ask: Asking, address: Address, members: Given = None, file: FromFile = None) -> None:
    """Take addresses off a list."""
    done = ask.api.delete("lists", address, "members", json=_members(members, file))
    ask.say(done, [f"{len(done['changed'])} left {address}, now {_members_in(done['count'])}"])


@lists.command("remove")
@asking
def remove(ask: Asking, address: Address) -> None:
    """Remove a list and the names of its members."""
    ask.api.delete("lists", address)
    ask.say({"removed": address}, [f"removed {address}"])


@lists.command("list")
@asking
def list_all(
    ask: Asking, domain: Annotated[str, typer.Argument(help="Only of this domain.")] = ""
) -> None:
    """List the mailing lists."""
    say_addresses(ask, "list", domain)


def _show(ask: Asking, found: dict[str, Any]) -> None:
    ask.say(found, directory_lines.mailing_list(found))


def _members_in(count: int) -> str:
    return f"{count} member" if count == 1 else f"{count} members"


def _given(posting: str | None, moderators: list[str] | None, name: str | None) -> dict[str, Any]:
    if posting is not None and posting not in POSTING:
        raise BadInput(f"--posting is {', '.join(POSTING[:-1])} or {POSTING[-1]}, not {posting!r}")
    given = {
        "posting": posting,
        "moderators": [one for one in moderators if one] if moderators else None,
        "name": name,
    }
    return {what: value for what, value in given.items() if value is not None}


def _members(given: list[str] | None, file: Path | None) -> dict[str, list[str]]:
    found = addresses(given, file)
    if not found:
        raise BadInput("say who: addresses, or --from FILE with one a line")
    return {"members": found}
