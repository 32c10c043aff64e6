"""/v1/accounts, /v1/accounts:bulk and /v1/self: mailboxes."""

import contextlib

from fastapi import APIRouter, HTTPException

from services.popauth import shown
from services.popauth.accounts import NOT_PROVEN, Forwarding, Wish
from services.popauth.bulk import Row
from services.popauth.desk import Desk
from services.popauth.models import (
    AccountChange,
    AccountShown,
    AddressName,
    BulkAccounts,
    BulkDone,
    BulkRefusal,
    NewAccount,
    NewPassword,
    NewQuota,
    OwnPassword,
    QuotaShown,
)
from tubepost.address import AddressError
from tubepost.admin import Who, open_to_all, open_to_domains, require_admin
from tubepost.directory_values import HOLD, LOCKED, MUST_CHANGE, NO_POP, NO_RELAY, NO_SMTP, Account
from tubepost.errors import BadInput
from tubepost.quota import parse_quota

TOO_MANY = "too many wrong passwords for this address; try again in 15 minutes"


def router(desk: Desk) -> APIRouter:
    """All of them. What has an address and more in its path comes before what has only that."""
    routes = open_to_domains()
    _add_many(routes, desk)
    _add_parts(routes, desk)
    _add_whole(routes, desk)
    own = open_to_all()
    _add_self(own, desk)
    routes_of_all = APIRouter()
    routes_of_all.include_router(routes)
    routes_of_all.include_router(own)
    return routes_of_all


def _add_many(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/accounts", summary="Addresses of the accounts")
    async def list_accounts(who: Who, domain: str = "") -> list[str]:
        rows = await desk.listing.every(desk.asked(who, domain), "account")
        return [row.address for row in rows]

    @routes.post("/accounts:bulk", summary="Add many accounts")
    async def add_accounts(new: BulkAccounts, who: Who) -> BulkDone:
        for row in new.accounts:
            with contextlib.suppress(AddressError):  # it is refused by itself
                desk.check(who, row.address)
        done = await desk.bulk.add([Row(**row.model_dump()) for row in new.accounts], who.name)
        refused = [BulkRefusal(address=address, detail=why) for address, why in done.refused]
        return BulkDone(added=done.added, existing=done.existing, refused=refused)

    @routes.post("/accounts", status_code=201, summary="Add an account")
    async def add_account(new: NewAccount, who: Who) -> AddressName:
        desk.check(who, new.address)
        if new.old_mail:  # it may be that of a tenant who had the domain before
            require_admin(who)
        quota = None if new.quota is None else parse_quota(new.quota)
        wish = Wish(new.name, quota, new.old_mail)
        added = await desk.accounts.add_account(new.address, new.password, wish, who.name)
        return AddressName(address=added)


def _add_parts(routes: APIRouter, desk: Desk) -> None:
    @routes.put("/accounts/{address:path}/password", status_code=204, summary="Set a password")
    async def set_password(address: str, new: NewPassword, who: Who) -> None:
        desk.check(who, address)
        await desk.accounts.set_password(
            address, new.password, reversible=new.reversible, by=who.name
        )

    @routes.get("/accounts/{address:path}/quota", summary="An account's quota")
    async def quota(address: str, who: Who) -> QuotaShown:
        desk.check(who, address)
        return QuotaShown(quota=await desk.accounts.quota(address))

    @routes.put("/accounts/{address:path}/quota", summary="Set an account's quota")
    async def set_quota(address: str, new: NewQuota, who: Who) -> QuotaShown:
        desk.check(who, address)
        await desk.accounts.set_quota(address, new.quota, who.name)
        return QuotaShown(quota=await desk.accounts.quota(address))


def _add_whole(routes: APIRouter, desk: Desk) -> None:
    def answer(account: Account) -> AccountShown:
        domain = account.address.rpartition("@")[2]
        return shown.of_account(account, desk.directory.domain(domain))

    @routes.get("/accounts/{address:path}", summary="An account")
    async def get_account(address: str, who: Who) -> AccountShown:
        desk.check(who, address)
        return answer(await desk.accounts.get(address))

    @routes.patch("/accounts/{address:path}", summary="Change an account: rights, forward, name")
    async def change_account(address: str, new: AccountChange, who: Who) -> AccountShown:
        desk.check(who, address)
        more = Forwarding(new.forward, new.keep, new.name)
        return answer(await desk.accounts.change(address, _flags(new), more, who.name))

    @routes.delete(
        "/accounts/{address:path}", status_code=204, summary="Remove an account; its mail stays"
    )
    async def remove_account(address: str, who: Who) -> None:
        desk.check(who, address)
        await desk.accounts.remove_account(address, who.name)


def _add_self(routes: APIRouter, desk: Desk) -> None:
    @routes.put("/self/password", status_code=204, summary="Change one's own password")
    async def change_own(new: OwnPassword) -> None:
        """Proven by the old password, and by no token."""
        name = _counted(desk, new.address)
        if desk.brake.holds(name):
            raise HTTPException(429, TOO_MANY)
        desk.brake.tried(name)
        try:
            if not await desk.accounts.change_own(new.address, new.old, new.new):
                raise HTTPException(403, NOT_PROVEN)
        except BadInput:  # said only to who had the old one
            desk.brake.proven(name)
            raise
        desk.brake.proven(name)


def _counted(desk: Desk, text: str) -> str:
    """One name for all spellings of an address."""
    try:
        return str(desk.addresses.own(text))
    except AddressError:
        return ""


def _flags(new: AccountChange) -> dict[str, bool]:
    """What an account may not do, for what it may."""
    may = {NO_POP: new.pop, NO_SMTP: new.smtp, NO_RELAY: new.relay}
    has = {LOCKED: new.locked, MUST_CHANGE: new.must_change, HOLD: new.hold}
    found = {flag: not yes for flag, yes in may.items() if yes is not None}
    return found | {flag: yes for flag, yes in has.items() if yes is not None}
