"""`tubepost qstat` and `qread`. The texts are qmail-qstat's and qmail-qread's."""

import json as json_module
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from ctl import output
from ctl.client import Api, Refused
from ctl.output import Data, Json
from ctl.queue_filters import Chosen, filtered

PATIENCE = 20.0
"""Seconds a page is asked for again once the list has begun: a shard may find a new owner."""

PAUSE = 0.5

PAGE = 200
"""Mails in one answer, at most."""

Mail = dict[str, Any]


def qstat(data: Data = None, json: Json = False) -> None:
    """How many mails are in the queue."""
    found = Api(data).get("queue", "counts")
    if json:
        output.as_json(found | {"pauses": Api(data).get("pauses")})
        return
    output.lines(
        [
            f"messages in queue: {found['messages']}",
            f"messages in queue but not yet preprocessed: {found['unprocessed']}",
        ]
    )


@filtered
def qread(
    chosen: Chosen,
    limit: Annotated[int | None, typer.Option(min=1, help="So many mails, no more.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """The mails in the queue, oldest first, with their recipients."""
    query = chosen | ({"limit": min(limit, PAGE)} if limit else {})
    mails = islice(_joined(_mails(Api(data), query)), limit)
    if json:
        _write_array(mails)
        return
    unreadable = 0
    for mail in mails:
        if mail["state"] == "unreadable":
            unreadable += 1
        else:
            output.lines(qread_lines(mail))
    if unreadable:
        sys.stderr.write(f"tubepost: {unreadable} records cannot be read; qread --json has them\n")


def _write_array(mails: Iterator[Mail]) -> None:
    """A JSON array, a mail on each line, written as they come."""
    before = "["
    for mail in mails:
        sys.stdout.write(before + "\n" + json_module.dumps(mail))
        before = ","
    sys.stdout.write("[]\n" if before == "[" else "\n]\n")


def _mails(api: Api, query: dict[str, Any]) -> Iterator[Mail]:
    """All pages. A page that fails once the list has begun is asked for again."""
    page = api.get("queue", **query)
    yield from page["mails"]
    while page["next"] is not None:
        page = _again_and_again(api, {**query, "after": page["next"]})
        yield from page["mails"]


def _again_and_again(api: Api, query: dict[str, Any]) -> Any:
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            return api.get("queue", **query)
        except Refused as refused:
            if not refused.may_pass or time.monotonic() > give_up:
                raise
        time.sleep(PAUSE)


def _joined(mails: Iterator[Mail]) -> Iterator[Mail]:
    """A mail with very many recipients goes on on the next page: here it is one."""
    held: Mail | None = None
    for mail in mails:
        if held is not None and held["id"] == mail["id"]:
            held["recipients"] += mail["recipients"]
            continue
        if held is not None:
            yield held
        held = mail
    if held is not None:
        yield held


def qread_lines(mail: Mail) -> Iterator[str]:
    """As qmail-qread prints a mail."""
    created = datetime.fromtimestamp(mail["created"], UTC)
    when = f"{created.day} {created:%b %Y %H:%M:%S} GMT"
    bouncing = " bouncing" if mail["state"] == "bounce" else ""
    yield f"{when}  #{mail['id']}  {mail['size']}  <{mail['sender']}>{bouncing}"
    for recipient in mail["recipients"]:
        done = "  done" if recipient["done"] else ""
        yield f"{done}\t{recipient['channel']}\t{recipient['address']}"
