"""remote's resources under /v1: the recipients that are not tried again."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.remote.suppressions import Suppression, Suppressions
from tubepost import maillog, remote_values
from tubepost.address import parse_address, parse_domain
from tubepost.admin import protected
from tubepost.control import Control
from tubepost.errors import BadInput, NotFound
from tubepost.outcome import one_line
from tubepost.ports import Clock

ACTOR = "admin"
PAGE = 200
"""Entries in one answer."""

CLEARED = 500
"""Entries looked up, and removed together, for one request to clear."""


class NewSuppression(BaseModel):
    """An address that is not to be tried. `seconds`: as `suppress` says, if not given."""

    address: str
    seconds: int | None = Field(None, ge=1, le=remote_values.LONGEST_SUPPRESSION)
    reason: str = Field("", max_length=200)


class Cleared(BaseModel):
    """Which entries go: those of a domain, or all. `cursor`: from the last answer."""

    domain: str = ""
    all: bool = False
    cursor: int = Field(0, ge=0)


def router(suppressions: Suppressions, control: Control, clock: Clock) -> APIRouter:
    """All of them."""
    routes = protected()
    _add_reading(routes, suppressions, control)
    _add_changes(routes, suppressions, control, clock)
    return routes


def _add_reading(routes: APIRouter, suppressions: Suppressions, control: Control) -> None:
    @routes.get("/suppressions")
    async def page(
        domain: str = "", after: int = Query(0, ge=0), limit: int = Query(PAGE, ge=1, le=PAGE)
    ) -> dict[str, Any]:
        """Those that hold now, in the order of writing. Go on with `after` = `next` until it is
        null: a page may be short before that. `seconds`: the setting `suppress`; 0: none counts."""
        name = parse_domain(domain) if domain else ""
        found, cursor = await suppressions.page(after, limit=limit, domain=name)
        held = [asdict(one) for one in found]
        return {
            "suppressions": held,
            "next": cursor,
            "seconds": control.get(remote_values.SUPPRESS),
        }

    @routes.get("/suppressions/{address:path}")
    async def show(address: str) -> dict[str, Any]:
        return asdict(await _found(suppressions, address))


def _add_changes(
    routes: APIRouter, suppressions: Suppressions, control: Control, clock: Clock
) -> None:
    @routes.post("/suppressions", status_code=201)
    async def add(new: NewSuppression) -> dict[str, Any]:
        held = _made(new, control.get(remote_values.SUPPRESS), clock())
        await suppressions.add(held)
        maillog.changed("suppression", held.address, ACTOR)
        return asdict(held)

    @routes.post("/suppressions/clear")
    async def clear(which: Cleared) -> dict[str, Any]:
        """Removes some of them; go on with `cursor` = `next` until it is null."""
        if bool(which.domain) == which.all:
            raise BadInput("name a domain, or say that all are meant")
        domain = parse_domain(which.domain) if which.domain else ""
        found, cursor = await suppressions.page(which.cursor, limit=CLEARED, domain=domain)
        await asyncio.gather(*(suppressions.remove(held.address) for held in found))
        if found:
            maillog.changed("suppression", domain or "all", ACTOR)
        return {"removed": len(found), "next": cursor}

    @routes.delete("/suppressions/{address:path}", status_code=204)
    async def remove(address: str) -> None:
        held = await _found(suppressions, address)
        await suppressions.remove(held.address)
        maillog.changed("suppression", held.address, ACTOR)


async def _found(suppressions: Suppressions, address: str) -> Suppression:
    name = str(parse_address(address, utf8=True))
    held = await suppressions.get(name)
    if held is None:
        raise NotFound(f"{name} is not suppressed; see: tubepost suppression list")
    return held


def _made(new: NewSuppression, usual: int, now: float) -> Suppression:
    """Raises BadInput where nothing says for how long."""
    seconds = new.seconds or usual
    if not seconds:
        raise BadInput("say for how long: the setting suppress is 0")
    return Suppression(
        address=str(parse_address(new.address, utf8=True)),
        until=now + seconds,
        at=now,
        status="5.1.1",
        reply=one_line(new.reason, 200) or "the operator wants no mail sent there",
    )
