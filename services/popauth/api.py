"""popauth's resources under /v1: the relay list and the control settings; the rest joined to it.

A resource checks what its caller may (tubepost.admin.Principal) before it looks anything up.
"""

from dataclasses import asdict

from fastapi import APIRouter

from services.popauth import (
    accounts_api,
    aliases_api,
    domains_api,
    facts_api,
    lists_api,
    tokens_api,
)
from services.popauth.desk import Desk
from services.popauth.models import NewLines, RelayShown, SettingShown
from tubepost import control_values, maillog
from tubepost.admin import Admin, protected
from tubepost.control import Control
from tubepost.relay_list import RelayList


def router(desk: Desk, relay_list: RelayList) -> APIRouter:
    """All of them."""
    routes = APIRouter()
    for part in (domains_api, accounts_api, aliases_api, lists_api, facts_api, tokens_api):
        routes.include_router(part.router(desk))
    routes.include_router(_relay(relay_list))
    routes.include_router(_control(desk.control))
    return routes


def _relay(relay_list: RelayList) -> APIRouter:
    routes = protected()

    @routes.get("/relay", summary="Who may relay now")
    async def relay() -> list[RelayShown]:
        return [RelayShown(**asdict(entry)) for entry in await relay_list.entries()]

    return routes


def _control(control: Control) -> APIRouter:
    routes = protected()

    def shown(name: str) -> SettingShown:
        help_, lines = control_values.setting(name).help, control.lines(name)
        return SettingShown(name=name, lines=None if lines is None else list(lines), help=help_)

    @routes.get("/control", summary="All control settings")
    async def list_settings() -> list[SettingShown]:
        return [shown(name) for name in sorted(control_values.SETTINGS)]

    @routes.get("/control/{name}", summary="A control setting")
    async def get_setting(name: str) -> SettingShown:
        return shown(name)

    @routes.put("/control/{name}", summary="Change a control setting")
    async def set_setting(name: str, new: NewLines, who: Admin) -> SettingShown:
        await control.set(name, tuple(new.lines))
        maillog.changed("control", name, who.name)
        return shown(name)

    return routes
