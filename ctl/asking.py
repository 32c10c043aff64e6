"""What every command for the directory has besides: where the platform is, and who asks it.

An operator needs none of it on his own host. A domain's administrator has a token of his own, and
uses the same commands with it.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ctl.client import Api
from ctl.output import Data
from ctl.queue_actions import Actor, actor_header

OPTIONS: dict[str, Any] = {
    "data": Data,
    "token_file": Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Ask with the token in it. Default: the data folder's, or TUBEPOST_TOKEN.",
        ),
    ],
    "actor": Actor,
}


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options. It gets `api`, which is found before anything is asked."""

    @functools.wraps(command)
    def with_api(**given: Any) -> None:
        data, token_file, actor = (given.pop(name, None) for name in OPTIONS)
        api = Api(data, token_file=token_file, headers=actor_header(actor))
        command(api=api, **given)

    own = inspect.signature(command, eval_str=True)
    kept = [p for p in own.parameters.values() if p.name != "api"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept] + added
    with_api.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_api.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_api
