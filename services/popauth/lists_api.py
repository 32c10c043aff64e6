"""/v1/lists: mailing lists and their members."""

from fastapi import APIRouter

from services.popauth import shown
from services.popauth.desk import Desk
from services.popauth.lists import ListWish
from services.popauth.models import ListChange, ListShown, Members, MembersChanged, NewList
from tubepost.admin import Who, open_to_domains


def router(desk: Desk) -> APIRouter:
    """All of them. What has an address and more in its path comes before what has only that."""
    routes = open_to_domains()
    _add_members(routes, desk)
    _add_whole(routes, desk)
    return routes


def _add_members(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/lists/{address:path}/members", summary="Add members to a list")
    async def join(address: str, new: Members, who: Who) -> MembersChanged:
        desk.check(who, address)
        changed, found = await desk.lists.join(address, new.members, who.name)
        return MembersChanged(changed=changed, count=len(found.members))

    @routes.delete("/lists/{address:path}/members", summary="Take members off a list")
    async def leave(address: str, gone: Members, who: Who) -> MembersChanged:
        desk.check(who, address)
        changed, found = await desk.lists.leave(address, gone.members, who.name)
        return MembersChanged(changed=changed, count=len(found.members))


def _add_whole(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/lists", summary="Addresses of the mailing lists")
    async def list_lists(who: Who, domain: str = "") -> list[str]:
        rows = await desk.listing.every(desk.asked(who, domain), "list")
        return [row.address for row in rows]

    @routes.post("/lists", status_code=201, summary="Add a mailing list")
    async def add_list(new: NewList, who: Who) -> ListShown:
        desk.check(who, new.address)
        wish = ListWish(new.owner, new.members, new.posting, new.moderators, new.name)
        return shown.of_list(await desk.lists.add(new.address, wish, who.name))

    @routes.get("/lists/{address:path}", summary="A mailing list")
    async def get_list(address: str, who: Who) -> ListShown:
        desk.check(who, address)
        return shown.of_list(await desk.lists.get(address))

    @routes.patch("/lists/{address:path}", summary="Change a mailing list")
    async def change_list(address: str, new: ListChange, who: Who) -> ListShown:
        desk.check(who, address)
        wish = ListWish(**new.model_dump())
        return shown.of_list(await desk.lists.change(address, wish, who.name))

    @routes.delete("/lists/{address:path}", status_code=204, summary="Remove a mailing list")
    async def remove_list(address: str, who: Who) -> None:
        desk.check(who, address)
        await desk.lists.remove(address, who.name)
