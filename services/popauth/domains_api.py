"""/v1/domains: an administrator of domains may read his own, the rest is the platform's."""

from fastapi import APIRouter

from services.popauth import shown
from services.popauth.checks import mail_domain
from services.popauth.desk import Desk
from services.popauth.domains import DomainWish, LimitsWish
from services.popauth.models import DomainChange, DomainName, DomainShown, NewDomain
from tubepost.admin import Admin, Who, open_to_domains, protected


def router(desk: Desk) -> APIRouter:
    """All of them."""
    routes = APIRouter()
    routes.include_router(_read(desk))
    routes.include_router(_write(desk))
    return routes


def _read(desk: Desk) -> APIRouter:
    routes = open_to_domains()

    @routes.get("/domains", summary="The domains whose mail is local")
    async def list_domains(who: Who) -> list[str]:
        return [name for name in desk.directory.domain_names() if who.may(name)]

    @routes.get("/domains/{name}", summary="A domain: what it is, may have and has")
    async def get_domain(name: str, who: Who) -> DomainShown:
        who.check(mail_domain(name))
        domain, counts = await desk.domains.get(name)
        return shown.of_domain(domain, counts, desk.domains.aliases(domain.name))

    return routes


def _write(desk: Desk) -> APIRouter:
    routes = protected()

    @routes.post("/domains", status_code=201, summary="Add a domain, or another name of one")
    async def add_domain(new: NewDomain, who: Admin) -> DomainName:
        return DomainName(name=await desk.domains.add(new.name, new.alias_of, who.name))

    @routes.patch("/domains/{name}", summary="Change a domain")
    async def change_domain(name: str, new: DomainChange, who: Admin) -> DomainShown:
        domain, counts = await desk.domains.change(name, _wish(new), who.name)
        return shown.of_domain(domain, counts, desk.domains.aliases(domain.name))

    @routes.delete("/domains/{name}", status_code=204, summary="Remove a domain that is empty")
    async def remove_domain(name: str, who: Admin) -> None:
        await desk.domains.remove(name, who.name)

    return routes


def _wish(new: DomainChange) -> DomainWish:
    limits = LimitsWish(**new.limits.model_dump()) if new.limits else None
    return DomainWish(new.alias_of, new.unknown, new.hold, new.quota, limits)
