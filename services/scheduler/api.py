"""scheduler's resources under /v1: the queue, what an operator does to it, pauses.

Whoever does something says who and why: header X-Tubepost-Actor (the token's holder is believed),
and `reason` in the body.
"""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from services.scheduler.actions import Actions, Done, Order
from services.scheduler.filters import Filter
from services.scheduler.mails import Mails
from services.scheduler.views import Views
from tubepost import maillog
from tubepost.address import parse_domain
from tubepost.admin import protected
from tubepost.errors import BadInput
from tubepost.events import NOBODY, Teller
from tubepost.outcome import one_line
from tubepost.pauses import Pauses
from tubepost.record import Note

PAGE = 200
"""Mails in one answer."""

ACTOR_HEADER = "X-Tubepost-Actor"
UNNAMED = "admin"
"""The actor where none is named."""

MAX_ACTOR, MAX_REASON = 64, 200

States = Literal["", "pending", "bounce", "done", "split", "group", "parked", "held", "unreadable"]


class Chosen(BaseModel):
    """services.scheduler.filters.Filter as a query; a name that is none of these is refused."""

    model_config = ConfigDict(extra="forbid")

    domain: str = ""
    sender: str = ""
    recipient: str = ""
    state: States = ""
    channel: Literal["", "local", "remote"] = ""
    error: str = ""
    kind: str = ""
    older: float = Field(0, ge=0)
    newer: float = Field(0, ge=0)
    attempts: int = Field(0, ge=0)

    @property
    def filter(self) -> Filter:
        return Filter(**{name: getattr(self, name) for name in Chosen.model_fields})


class ChosenPage(Chosen):
    """A page of what matches."""

    after: str = ""
    limit: int = Field(PAGE, ge=1, le=PAGE)


class ChosenSlice(Chosen):
    """What an order is for. Without a filter it takes `all`; `cursor`: from the last answer."""

    all: bool = False
    cursor: str = ""


class Reason(BaseModel):
    """Why it is done; for colleagues, and for the log."""

    reason: str = Field("", max_length=2000)


async def noted(request: Request, body: Reason | None = None) -> Note:
    """Who does it, why, now."""
    actor = one_line(request.headers.get(ACTOR_HEADER, ""), MAX_ACTOR)
    return Note(actor or UNNAMED, one_line(body.reason if body else "", MAX_REASON), time.time())


Noted = Annotated[Note, Depends(noted)]


def router(
    views: Views, mails: Mails, actions: Actions, pauses: Pauses, events: Teller = NOBODY
) -> APIRouter:
    """All of them. `events`: who hears what was done to no single mail."""
    routes = protected()
    _add_lists(routes, views)
    _add_mails(routes, mails)
    _add_actions(routes, actions)
    _add_pauses(routes, pauses, events)
    _add_destinations(routes, views, events)
    return routes


def _add_lists(routes: APIRouter, views: Views) -> None:
    @routes.get("/queue/counts")
    async def queue_counts() -> dict[str, Any]:
        """messages: mails in the queue; unprocessed: those not split yet; states: records by state;
        channels: deliveries that run, and may; ready: units that wait for a slot; oldest: when the
        oldest mail was accepted."""
        return await views.counts()

    @routes.get("/queue")
    async def queue(query: Annotated[ChosenPage, Query()]) -> dict[str, Any]:
        """Mails that match, oldest first. Go on with `after` = `next` until it is null: a page may
        be short, or empty, before that. A mail with very many recipients goes on on the next."""
        found, cursor = await views.page(query.filter, query.after, query.limit)
        return {"mails": found, "next": cursor}


def _add_mails(routes: APIRouter, mails: Mails) -> None:
    @routes.get("/queue/{mail_id}")
    async def show(mail_id: str) -> dict[str, Any]:
        """Every unit of one mail, and its header."""
        return await mails.show(mail_id)

    @routes.get("/queue/{mail_id}/body")
    async def body(mail_id: str) -> StreamingResponse:
        """The mail as it was accepted."""
        return StreamingResponse(await mails.body(mail_id), media_type="message/rfc822")


def _add_actions(routes: APIRouter, actions: Actions) -> None:
    @routes.post("/queue/{action}")
    async def on_matching(action: str, query: Annotated[ChosenSlice, Query()], note: Noted) -> Done:
        """A slice of what matches; go on with `cursor` = `next` until it is null."""
        if not query.filter.given() and not query.all:
            raise BadInput("this is for every mail in the queue: give a filter, or all=true")
        return await actions.on_matching(Order(action, note), query.filter, query.cursor)

    @routes.post("/queue/{mail_id}/{action}")
    async def on_mail(mail_id: str, action: str, note: Noted) -> Done:
        """One mail, with all its units."""
        return await actions.on_mail(Order(action, note), mail_id)


def _tell(events: Teller, action: str, note: Note) -> None:
    events.emit("operator", unit="", action=action, actor=note.actor, why=note.why)


def _add_pauses(routes: APIRouter, pauses: Pauses, events: Teller) -> None:
    @routes.get("/pauses")
    async def list_pauses() -> list[dict[str, Any]]:
        """What is paused: what, by, why, at."""
        return pauses.listed()

    @routes.put("/pauses/{what}")
    async def pause(what: str, note: Noted) -> dict[str, str]:
        """`what`: all, local, remote, or a destination."""
        name = await pauses.pause(what, note)
        maillog.paused(name, actor=note.actor, reason=note.why)
        _tell(events, f"pause {name}", note)
        return {"what": name}

    @routes.delete("/pauses/{what}")
    async def resume(what: str, note: Noted) -> dict[str, str]:
        """The end of a pause; others stay."""
        name = await pauses.resume(what)
        maillog.resumed(name, actor=note.actor, reason=note.why)
        _tell(events, f"resume {name}", note)
        return {"what": name}


def _add_destinations(routes: APIRouter, views: Views, events: Teller) -> None:
    @routes.get("/destinations")
    async def troubles() -> list[dict[str, Any]]:
        """Remote destinations that do not get all they could use, the longest line first, at most
        1,000 of a shard: see services.scheduler.served.Trouble."""
        return await views.troubles()

    @routes.get("/destinations/{destination}")
    async def summary(destination: str) -> dict[str, Any]:
        """What the queue holds for one destination, local or remote, and what is known of it."""
        return await views.destination(parse_domain(destination))

    @routes.post("/destinations/{destination}/reset")
    async def reset(destination: str, note: Noted) -> dict[str, str]:
        """Ends its back-off and forgets what was learnt of it."""
        name = parse_domain(destination)
        await views.reopen(name)
        maillog.destination_reset(name, actor=note.actor, reason=note.why)
        _tell(events, f"reset {name}", note)
        return {"destination": name}
