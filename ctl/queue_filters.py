"""Options that say which mails: the same for `qread` and for every `queue` command."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

Chosen = dict[str, Any]
"""The filters that were given, by the name they have in /v1/queue."""


def _text(help_text: str, metavar: str = "TEXT") -> Any:
    return Annotated[str | None, typer.Option(help=help_text, metavar=metavar)]


def _number(help_text: str, metavar: str) -> Any:
    return Annotated[float | None, typer.Option(help=help_text, metavar=metavar, min=0)]


OPTIONS: dict[str, Any] = {
    "domain": _text("Destination, or domain of a recipient.", "DOMAIN"),
    "sender": _text("Address, or @domain; <> for bounces.", "ADDRESS"),
    "recipient": _text("Address, or @domain.", "ADDRESS"),
    "state": _text("pending, held, parked, bounce, done, split, unreadable.", "STATE"),
    "channel": _text("local or remote.", "CHANNEL"),
    "error": _text("Part of a recipient's last reply."),
    "kind": _text("Kind of a recipient's last trouble, such as mailbox_full.", "KIND"),
    "older": _number("Accepted at least so long ago.", "SECONDS"),
    "newer": _number("Accepted at most so long ago.", "SECONDS"),
    "attempts": Annotated[
        int | None, typer.Option(help="Tried at least so often.", metavar="NUMBER", min=0)
    ],
}


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each filter; it gets those that were given as `chosen`."""

    @functools.wraps(command)
    def with_filters(**given: Any) -> None:
        values = {name: given.pop(name, None) for name in OPTIONS}
        chosen = {name: value for name, value in values.items() if value not in (None, "")}
        command(chosen=chosen, **given)

    own = inspect.signature(command)
    kept = [p for p in own.parameters.values() if p.name != "chosen"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + added
    with_filters.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_filters.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_filters
