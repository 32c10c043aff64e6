"""GET /v1/probe: how a destination looks from here, without sending anything.

Who holds the admin token may ask; it leads to hosts that a mail for that destination would lead to.
"""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from services.remote.probe import Probe
from services.remote.probe_steps import Step
from tubepost.address import parse_address, parse_domain
from tubepost.admin import protected
from tubepost.errors import BadInput


def router(probe: Probe) -> APIRouter:
    """The resource."""
    routes = protected()

    @routes.get("/probe")
    async def get_probe(
        address: str, rcpt: bool = False, connect: bool = True
    ) -> StreamingResponse:
        """`address`: a mail address or a domain. One JSON object a line, as they are found:
        services.remote.probe.Step; the last is `end`. `rcpt`: hosts are asked about the address
        (MAIL FROM:<>, RCPT, RSET). `connect=false`: plan and DNS only."""
        destination, recipient = _parsed(address)
        if rcpt and not recipient:
            raise BadInput("rcpt needs an address, not a domain")
        steps = probe.steps(destination, recipient if rcpt else "", connect=connect)
        first = await anext(steps)  # here a refusal still has a status of its own
        return StreamingResponse(_lines(first, steps), media_type="application/x-ndjson")

    return routes


async def _lines(first: Step, rest: AsyncIterator[Step]) -> AsyncIterator[bytes]:
    yield _line(first)
    async for step in rest:
        yield _line(step)


def _line(step: Step) -> bytes:
    return json.dumps(step, default=str).encode() + b"\n"


def _parsed(text: str) -> tuple[str, str]:
    """(destination, recipient or ""). Raises BadInput."""
    if "@" not in text:
        return parse_domain(text, utf8=True), ""
    address = parse_address(text, utf8=True)
    return address.domain, str(address)
