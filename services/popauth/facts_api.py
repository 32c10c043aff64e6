"""What can be asked across kinds: /v1/addresses, /v1/quota, /v1/history, /v1/resolve."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query

from services.popauth import shown
from services.popauth.addresses import no_domain
from services.popauth.desk import Desk
from services.popauth.listing import PAGE
from services.popauth.models import (
    AddressPage,
    AddressRow,
    ChangeShown,
    EntryShown,
    ResolutionShown,
    UsedShown,
)
from tubepost.address import parse_address
from tubepost.admin import Who, open_to_domains
from tubepost.errors import NotFound

Limit = Annotated[int, Query(ge=1, le=10_000)]
Newest = Annotated[int, Query(ge=1, le=1_000)]
AnyKind = Literal["", "account", "alias", "list"]


def router(desk: Desk) -> APIRouter:
    """All of them."""
    routes = open_to_domains()
    _add_addresses(routes, desk)
    _add_quota(routes, desk)
    _add_history(routes, desk)
    return routes


def _add_addresses(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/addresses", summary="Addresses, by pages")
    async def list_addresses(
        who: Who, domain: str = "", kind: AnyKind = "", after: str = "", limit: Limit = PAGE
    ) -> AddressPage:
        """In the order of domains, then of names. A page may be short, or empty, before the end."""
        names = desk.asked(who, domain)
        if domain and names[0] not in desk.directory.domains:
            raise no_domain(names[0])
        found = await desk.listing.page(names, kind, after, limit)
        rows = [AddressRow(**asdict(row)) for row in found.rows]
        return AddressPage(addresses=rows, next=found.further)

    @routes.get("/addresses/{address:path}", summary="What is at an address")
    async def get_address(address: str, who: Who) -> EntryShown:
        own = desk.check(who, address)
        entry = await desk.addresses.entry(own)
        if entry is None:
            raise NotFound(f"there is nothing at {own}; see: tubepost resolve {own}")
        return shown.of_entry(entry, desk.directory.domain(own.domain))

    @routes.get("/resolve/{address:path}", summary="What is done with mail for an address")
    async def resolve(address: str, who: Who) -> ResolutionShown:
        asked, own = parse_address(address), desk.check(who, address)
        if own.domain not in desk.directory.domains:
            raise NotFound(f"{own.domain} is no domain of ours: its mail is for another host")
        return shown.of_resolution(await desk.resolver.resolve(asked))


def _add_quota(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/quota/{name:path}", summary="How much of a quota is used")
    async def used(name: str, who: Who) -> UsedShown:
        if "@" in name:
            desk.check(who, name)
            account = await desk.accounts.get(name)
            whose, quota = account.address, account.quota
        else:
            own = desk.domain_name(name)
            who.check(own)
            whose, quota = own, (await desk.domains.get(own))[0].quota
        room = await desk.used.of(whose)
        return UsedShown(name=whose, quota=str(quota), octets=room.octets, mails=room.mails)


def _add_history(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/history", summary="Who changed what, newest first")
    async def history(
        who: Who, domain: str = "", address: str = "", since: float = 0, limit: Newest = 100
    ) -> list[ChangeShown]:
        """Of a domain and its addresses, of an address, or of all; the last 16 changes of each."""
        if domain and address:
            raise HTTPException(400, "give a domain or an address, not both")
        if address:
            found = await desk.history.of_address(desk.check(who, address), since, limit)
        else:
            found = await desk.history.of_domains(desk.asked(who, domain), since, limit)
        return [ChangeShown(**asdict(changed)) for changed in found]
