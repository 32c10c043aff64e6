"""popauth's resources under /v1: domains, accounts, the relay list, control settings."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from services.popauth.accounts import ACTOR, Accounts
from tubepost import control_values, maillog
from tubepost.admin import protected
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import NO_RELAY, NO_SMTP
from tubepost.relay_list import RelayList


class NewDomain(BaseModel):
    """A domain to be made."""

    name: str


class NewAccount(BaseModel):
    """An account to be made."""

    address: str
    password: str


class NewPassword(BaseModel):
    """The password an account gets. `reversible`: CRAM-MD5 may be used with it."""

    password: str
    reversible: bool = False


class Rights(BaseModel):
    """What an account may do; what is left out stays as it is."""

    smtp: bool | None = None
    relay: bool | None = None


class NewQuota(BaseModel):
    """How much an account's mails may take: `10M`, `NOQUOTA`."""

    quota: str


class NewLines(BaseModel):
    """The lines of a control setting, in qmail's syntax; none = its default."""

    lines: list[str]


def router(
    accounts: Accounts, directory: Directory, relay_list: RelayList, control: Control
) -> APIRouter:
    """All of them."""
    routes = protected()
    _add_domains(routes, accounts, directory)
    _add_accounts(routes, accounts)
    _add_control(routes, control)

    @routes.get("/relay")
    async def relay() -> list[dict[str, Any]]:
        """Who may relay now: ip, user, at, until, by."""
        return [asdict(entry) for entry in await relay_list.entries()]

    return routes


def _add_domains(routes: APIRouter, accounts: Accounts, directory: Directory) -> None:
    @routes.get("/domains")
    async def list_domains() -> list[str]:
        return directory.domain_names()

    @routes.post("/domains", status_code=201)
    async def add_domain(new: NewDomain) -> dict[str, str]:
        return {"name": await accounts.add_domain(new.name)}

    @routes.delete("/domains/{name}", status_code=204)
    async def remove_domain(name: str) -> None:
        await accounts.remove_domain(name)


def _add_accounts(routes: APIRouter, accounts: Accounts) -> None:
    @routes.get("/accounts")
    async def list_accounts(domain: str = "") -> list[str]:
        return await accounts.list(domain)

    @routes.post("/accounts", status_code=201)
    async def add_account(new: NewAccount) -> dict[str, str]:
        return {"address": await accounts.add_account(new.address, new.password)}

    @routes.put("/accounts/{address:path}/password", status_code=204)
    async def set_password(address: str, new: NewPassword) -> None:
        await accounts.set_password(address, new.password, reversible=new.reversible)

    @routes.patch("/accounts/{address:path}")
    async def set_rights(address: str, new: Rights) -> dict[str, Any]:
        """`flags`: what it may not do, after the change."""
        given = {NO_SMTP: new.smtp, NO_RELAY: new.relay}
        wanted = {flag: not may for flag, may in given.items() if may is not None}
        account = await accounts.set_flags(address, wanted)
        return {"address": account.address, "flags": sorted(account.flags)}

    @routes.get("/accounts/{address:path}/quota")
    async def quota(address: str) -> dict[str, str]:
        return {"quota": await accounts.quota(address)}

    @routes.put("/accounts/{address:path}/quota")
    async def set_quota(address: str, new: NewQuota) -> dict[str, str]:
        await accounts.set_quota(address, new.quota)
        return {"quota": await accounts.quota(address)}

    @routes.delete("/accounts/{address:path}", status_code=204)
    async def remove_account(address: str) -> None:
        await accounts.remove_account(address)


def _add_control(routes: APIRouter, control: Control) -> None:
    def shown(name: str) -> dict[str, Any]:
        setting = control_values.setting(name)
        return {"name": name, "lines": control.lines(name), "help": setting.help}

    @routes.get("/control")
    async def list_settings() -> list[dict[str, Any]]:
        return [shown(name) for name in sorted(control_values.SETTINGS)]

    @routes.get("/control/{name}")
    async def get_setting(name: str) -> dict[str, Any]:
        """`lines` is null where the default is in force."""
        return shown(name)

    @routes.put("/control/{name}")
    async def set_setting(name: str, new: NewLines) -> dict[str, Any]:
        await control.set(name, tuple(new.lines))
        maillog.changed("control", name, ACTOR)
        return shown(name)
