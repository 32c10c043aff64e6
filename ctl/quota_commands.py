"""`tubepost quota`: how much mailboxes and domains may hold, and do."""

from typing import Annotated

import typer

from ctl import directory_lines
from ctl.asking import Asking, asking
from ctl.typed import Quota
from tubepost.quota import parse_quota

quotas = typer.Typer(help="Quotas of mailboxes and domains.", no_args_is_help=True)

What = Annotated[str, typer.Argument(metavar="ADDRESS|DOMAIN")]


@quotas.command("show")
@asking
def show(ask: Asking, what: What) -> None:
    """The quota, and what is used of it."""
    _show(ask, what)


@quotas.command("set")
@asking
def set_quota(
    ask: Asking,
    what: What,
    quota: Quota,
) -> None:
    """Set it. What is over it stays; no mail comes in until there is room."""
    new = {"quota": str(parse_quota(quota))}
    if "@" in what:
        ask.api.put("accounts", what, "quota", json=new)
    else:
        ask.api.patch("domains", what, json=new)
    _show(ask, what)


def _show(ask: Asking, what: str) -> None:
    found = ask.api.get("quota", what)
    ask.say(found, [directory_lines.used(found)])
