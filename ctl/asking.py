"""What every command for the directory has besides: where the platform is, who asks it, and how.

An operator needs none of it on his own host. A domain's administrator has a token of his own, and
uses the same commands with it.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from ctl.queue_actions import Actor, actor_header

OPTIONS: dict[str, tuple[Any, Any]] = {
    "data": (Data, None),
    "token_file": (
        Annotated[
            Path | None,
            typer.Option(
                "--token-file",
                metavar="FILE",
                help="Ask with the token in it. Default: the data folder's, or TUBEPOST_TOKEN.",
            ),
        ],
        None,
    ),
    "actor": (Actor, None),
    "json": (Json, False),
}
"""Annotation and default of each."""

Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Domain = Annotated[str, typer.Argument(metavar="DOMAIN")]


@dataclass(frozen=True, slots=True)
class Asking:
    """`api`: the platform. Every command ends with `say`."""

    api: Api
    json: bool

    def say(self, value: Any, lines: Iterable[str]) -> None:
        """What came of it: the value for a program, the lines for people."""
        output.as_json(value) if self.json else output.lines(lines)


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options; it gets them as `ask`."""

    @functools.wraps(command)
    def with_ask(**given: Any) -> None:
        data, token_file, actor, json = (given.pop(name) for name in OPTIONS)
        api = Api(data, token_file=token_file, headers=actor_header(actor))
        command(ask=Asking(api, json), **given)

    kept = [p for p in inspect.signature(command).parameters.values() if p.name != "ask"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + added
    with_ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_ask.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_ask
