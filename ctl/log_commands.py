"""`tubepost log` and `tubepost trace`: what happened, from the events the platform keeps."""

import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ctl import event_lines, output, qmail_log
from ctl.client import Api
from ctl.in_order import InOrder, When
from ctl.output import Data, Json
from ctl.qmail_log import CHANNELS, QmailLog
from ctl.spans import seconds
from tubepost import control_values
from tubepost.errors import BadInput

PAGE = 1000
WAIT = 20.0
"""Seconds one question waits for news."""

SHORTEST_WAIT = 0.1

HOLD = 0.5
"""Seconds a line is held for earlier ones: services tell 50 ms after the fact."""

HOLD_DELIVERY = 2.5
"""As HOLD, for qmail's starting lines: a delivery is told of at its end, or when it took 1 s."""

CONCURRENCY = {
    "local": control_values.CONCURRENCYLOCAL,
    "remote": control_values.CONCURRENCYREMOTE,
}

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """How events are shown: each gives items with their place in time, each item gives lines."""

    hold: float
    items: Callable[[Event], Iterable[tuple[When, Any]]]
    lines: Callable[[Any], Iterable[str]]


def log(  # noqa: PLR0913 - its options
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on for ever.")] = False,
    number: Annotated[int, typer.Option("-n", min=0, help="Begin so many events back.")] = 50,
    since: Annotated[str, typer.Option(help="Begin so long ago: 90s, 15m, 2h, 7d.")] = "",
    qmail: Annotated[bool, typer.Option("--qmail", help="qmail-send's log lines.")] = False,
    tai64n: Annotated[bool, typer.Option("--tai64n", help="With multilog's times.")] = False,
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """What happened to mails: accepted, tried, bounced, ended. One line each."""
    if json and qmail:
        raise BadInput("choose one of --json and --qmail")
    if tai64n and not qmail:
        raise BadInput("--tai64n goes with --qmail")
    begin: dict[str, float] = {"since": time.time() - seconds(since)} if since else {"last": number}
    api = Api(data)
    view = _qmail(api, tai64n=tai64n) if qmail else _json() if json else _readable()
    order: InOrder[Any] = InOrder(view.hold)
    after = _read_past(api, begin, sys.maxsize if since else number, view, order)
    _print(view, order.rest())
    while follow:
        patience = order.patience(time.monotonic())
        wait = WAIT if patience is None else max(SHORTEST_WAIT, min(WAIT, patience))
        page = api.get("events", after=after, wait=wait)
        _add(page, view, order)
        after = page["next"]
        _print(view, order.ready(time.monotonic()))


def trace(
    mail_id: Annotated[str, typer.Argument(metavar="ID", help="As in 250 ok ... qp ID.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """The life of one mail from SMTP to its end, and that of its bounces."""
    events = Api(data).get("events", mail=mail_id)["events"]
    output.as_json(events) if json else output.lines(event_lines.life(events))


def _read_past(
    api: Api, begin: dict[str, float], count: int, view: View, order: InOrder[Any]
) -> int:
    """Reads what is there already, `count` events at most; the cursor to go on with."""
    page = api.get("events", **begin, limit=max(1, min(count, PAGE)))
    while True:
        _add(page, view, order)
        count -= len(page["events"])
        if not page["events"] or count <= 0:
            return int(page["next"])
        page = api.get("events", after=page["next"], limit=min(count, PAGE))


def _add(page: dict[str, Any], view: View, order: InOrder[Any]) -> None:
    order.add((item for event in page["events"] for item in view.items(event)), time.monotonic())


def _print(view: View, items: Iterable[Any]) -> None:
    output.lines(line for item in items for line in view.lines(item))
    sys.stdout.flush()


def _whole(event: Event) -> Iterable[tuple[When, Event]]:
    return [((event["at"], 0), event)]


def _readable() -> View:
    return View(HOLD, _whole, lambda event: [event_lines.line(event)])


def _json() -> View:
    return View(HOLD, _whole, lambda event: [jsonlib.dumps(event)])


def _qmail(api: Api, *, tai64n: bool) -> View:
    stamp = qmail_log.tai64n_stamp if tai64n else qmail_log.seconds_stamp
    fold = QmailLog({channel: _limit(api, channel) for channel in CHANNELS})

    def lines(step: qmail_log.Step) -> list[str]:
        return [f"{stamp(step.at)} {line}" for line in fold.lines(step)]

    return View(HOLD_DELIVERY, lambda event: [(s.when, s) for s in qmail_log.steps(event)], lines)


def _limit(api: Api, channel: str) -> int:
    """concurrencylocal or concurrencyremote, as in force when the log begins."""
    setting = CONCURRENCY[channel]
    lines = api.get("control", setting.name)["lines"]
    return setting.parse(tuple(lines)) if lines else setting.default
