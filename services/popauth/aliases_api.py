"""/v1/aliases."""

from fastapi import APIRouter

from services.popauth import shown
from services.popauth.aliases import AliasWish
from services.popauth.desk import Desk
from services.popauth.models import AliasBody, AliasShown, NewAlias
from tubepost.admin import Who, open_to_domains


def router(desk: Desk) -> APIRouter:
    """All of them."""
    routes = open_to_domains()

    @routes.get("/aliases", summary="Addresses of the aliases")
    async def list_aliases(who: Who, domain: str = "") -> list[str]:
        rows = await desk.listing.every(desk.asked(who, domain), "alias")
        return [row.address for row in rows]

    @routes.post("/aliases", status_code=201, summary="Add an alias")
    async def add_alias(new: NewAlias, who: Who) -> AliasShown:
        desk.check(who, new.address)
        wish = AliasWish(new.to, new.owner, new.verp)
        return shown.of_alias(await desk.aliases.add(new.address, wish, who.name))

    @routes.get("/aliases/{address:path}", summary="An alias")
    async def get_alias(address: str, who: Who) -> AliasShown:
        desk.check(who, address)
        return shown.of_alias(await desk.aliases.get(address))

    @routes.put("/aliases/{address:path}", summary="Change an alias that is there")
    async def set_alias(address: str, new: AliasBody, who: Who) -> AliasShown:
        desk.check(who, address)
        wish = AliasWish(new.to, new.owner, new.verp)
        return shown.of_alias(await desk.aliases.set(address, wish, who.name))

    @routes.delete("/aliases/{address:path}", status_code=204, summary="Remove an alias")
    async def remove_alias(address: str, who: Who) -> None:
        desk.check(who, address)
        await desk.aliases.remove(address, who.name)

    return routes
