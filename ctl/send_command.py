"""`tubepost send`: a mail into the queue by HTTP."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data
from tubepost.errors import BadInput


def send(
    file: Annotated[str, typer.Argument(help="File with the mail, or - for standard input.")],
    sender: Annotated[str, typer.Option("--from", help="Envelope sender; '' = none.")],
    to: Annotated[list[str], typer.Option(help="Recipient; may be given more than once.")],
    data: Data = None,
) -> None:
    """Put a mail into the queue; prints its id."""
    text = sys.stdin.buffer.read() if file == "-" else _read(Path(file))
    api = Api(data)
    query = {"sender": sender, "recipient": to}
    done = api.post(
        "messages", params=query, content=text, headers={"Content-Type": "message/rfc822"}
    )
    output.lines([done["id"]])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
