"""remote's resources under /v1: hosts that failed, and the end of a back-off."""

from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Header

from services.remote.host_health import SharedHealth
from tubepost import maillog
from tubepost.admin import protected
from tubepost.errors import BadInput
from tubepost.outcome import one_line

Actor = Annotated[str, Header(alias="X-Tubepost-Actor")]


def router(health: SharedHealth) -> APIRouter:
    """Both. Every worker knows the same of hosts, and what one forgets the others forget."""
    routes = protected()

    @routes.get("/hosts")
    async def hosts() -> list[dict[str, Any]]:
        """ip, port, and services.remote.standing.Standing: hosts that failed and have not answered
        since, the last failure first."""
        return health.listed()

    @routes.post("/hosts/{ip}/reset")
    async def reset(ip: str, actor: Actor = "admin") -> dict[str, Any]:
        """Forgets what is known of an address, on each of its ports."""
        try:
            name = str(ip_address(ip))
        except ValueError as error:
            raise BadInput(str(error)) from error
        ports = health.reset(name)
        maillog.host_reset(name, actor=one_line(actor, 64))
        return {"ip": name, "ports": ports}

    return routes
