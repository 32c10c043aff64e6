"""`tubepost qstat`, `qread` and `send`. The texts are qmail-qstat's and qmail-qread's."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from tubepost.errors import BadInput


def qstat(data: Data = None, json: Json = False) -> None:
    """How many mails are in the queue."""
    found = Api(data).get("queue", "counts")
    if json:
        output.as_json(found)
        return
    output.lines(
        [
            f"messages in queue: {found['messages']}",
            f"messages in queue but not yet preprocessed: {found['unprocessed']}",
        ]
    )


def qread(data: Data = None, json: Json = False) -> None:
    """The mails in the queue, oldest first, with their recipients."""
    mails = _all_mails(Api(data))
    if json:
        output.as_json(list(mails))
        return
    for mail in mails:
        output.lines(_qread_lines(mail))


def _all_mails(api: Api) -> Iterator[dict[str, Any]]:
    after = ""
    while page := api.get("queue", after=after):
        yield from page
        after = page[-1]["id"]


def _qread_lines(mail: dict[str, Any]) -> Iterator[str]:
    created = datetime.fromtimestamp(mail["created"], UTC)
    when = f"{created.day} {created:%b %Y %H:%M:%S} GMT"
    bouncing = " bouncing" if mail["state"] == "bounce" else ""
    yield f"{when}  #{mail['id']}  {mail['size']}  <{mail['sender']}>{bouncing}"
    for recipient in mail["recipients"]:
        done = "  done" if recipient["done"] else ""
        yield f"{done}\t{recipient['channel']}\t{recipient['address']}"


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
