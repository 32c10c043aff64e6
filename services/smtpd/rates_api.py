"""smtpd's resource on rates under /v1/smtp: who is near or over which limit."""

from dataclasses import asdict

from fastapi import APIRouter

from services.smtpd.meter import Meter
from tubepost.admin import protected

SHOWN = 50


def router(meter: Meter) -> APIRouter:
    """GET /v1/smtp/rates."""
    routes = protected()

    @routes.get("/smtp/rates")
    async def rates() -> list[dict[str, str | int]]:
        """The 50 nearest to a limit. `who`: an address, a /64 or a user; `seconds`: the period."""
        return [asdict(one) for one in meter.nearest(SHOWN)]

    return routes
