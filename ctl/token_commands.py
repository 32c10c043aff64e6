"""`tubepost token`: what lets an administrator of some domains use these commands, and no more."""

import time
from typing import Annotated, Any

import typer

from ctl import directory_lines, output
from ctl.asking import Asking, asking
from ctl.client import Refused
from ctl.spans import seconds
from tubepost.errors import BadInput

tokens = typer.Typer(help="Tokens of domain administrators.", no_args_is_help=True)


@tokens.command("add")
@asking
def add(
    ask: Asking,
    name: Annotated[str, typer.Argument(help="Whose it is; the history shows it.")],
    domain: Annotated[list[str], typer.Option(metavar="DOMAIN", help="May be given often.")],
    expires: Annotated[str, typer.Option(metavar="90d", help="In so long. Default: never.")] = "",
) -> None:
    """Make a token and print it, this once. It is for the addresses of these domains only."""
    until = time.time() + seconds(expires) if expires else 0
    made = ask.api.post("tokens", json={"name": name, "domains": domain, "expires": until})
    ask.say(made, [made["token"]])
    output.note("it is shown this once; its user gives it by --token-file, or in TUBEPOST_TOKEN")


@tokens.command("list")
@asking
def list_all(ask: Asking) -> None:
    """Id, name, domains, until when; not the tokens, which nobody knows any more."""
    found = ask.api.get("tokens")
    ask.say(found, map(directory_lines.token, found))


@tokens.command("revoke")
@asking
def revoke(
    ask: Asking, which: Annotated[str, typer.Argument(metavar="ID|NAME", help="As listed.")]
) -> None:
    """End a token, at once."""
    token = _one(ask.api.get("tokens"), which)
    ask.api.delete("tokens", token["id"])
    ask.say({"revoked": token["id"]}, [f"revoked {token['id']} ({token['name']})"])


def _one(tokens: list[dict[str, Any]], which: str) -> dict[str, Any]:
    """An id is sure; a name may be given to several."""
    found = [token for token in tokens if token["id"] == which] or [
        token for token in tokens if token["name"] == which
    ]
    if not found:
        raise Refused(f"there is no token {which}; see: tubepost token list")
    if len(found) > 1:
        ids = ", ".join(token["id"] for token in found)
        raise BadInput(f"{len(found)} tokens are called {which}; give the id: {ids}")
    return found[0]
