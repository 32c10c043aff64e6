"""Makes, changes and removes mailing lists, and who is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.popauth import checks
from services.popauth.addresses import Addresses
from services.popauth.changes import ADMIN
from tubepost.address import Address, parse_address
from tubepost.directory_values import MODERATORS, OPEN, POSTING, MailingList
from tubepost.errors import BadInput


@dataclass(frozen=True, slots=True)
class ListWish:
    """What a list shall have; what is None stays as it is."""

    owner: str | None = None
    members: Sequence[str] | None = None
    posting: str | None = None
    moderators: Sequence[str] | None = None
    name: str | None = None


class Lists:
    """Raises BadInput (with NotFound and Exists), Conflict, Unavailable and StoreFull."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def get(self, text: str) -> MailingList:
        return await self._addresses.get(text, MailingList)

    async def add(self, text: str, wish: ListWish, by: str = ADMIN) -> MailingList:
        address = self._addresses.own(text)
        checks.list_name(address)
        wanted = _with(MailingList(str(address), "", posting=OPEN), _checked(address, wish))
        await self._addresses.check_free(address)
        return await self._addresses.add(address, lambda _: wanted, by)

    async def change(self, text: str, wish: ListWish, by: str = ADMIN) -> MailingList:
        address = self._addresses.own(text)
        more = _checked(address, wish)
        return await self._addresses.change(
            address, MailingList, lambda now: _with(now, more), by, "list changed"
        )

    async def join(
        self, text: str, members: Sequence[str], by: str = ADMIN
    ) -> tuple[list[str], MailingList]:
        """Those that were no members yet, and the list."""
        address = self._addresses.own(text)
        come = checks.members(members, address)
        new: list[str] = []

        def alter(now: MailingList) -> MailingList:
            there = _keys(now.members)
            new[:] = [each for each in come if _key(each) not in there]
            return replace(now, members=checks.members((*now.members, *new), address))

        return new, await self._addresses.change(address, MailingList, alter, by, "members added")

    async def leave(
        self, text: str, members: Sequence[str], by: str = ADMIN
    ) -> tuple[list[str], MailingList]:
        """Those that were members, and the list."""
        address = self._addresses.own(text)
        going = _keys(checks.addresses(members, checks.MAX_MEMBERS, "members"))
        gone: list[str] = []

        def alter(now: MailingList) -> MailingList:
            gone[:] = [each for each in now.members if _key(each) in going]
            stay = tuple(each for each in now.members if _key(each) not in going)
            return replace(now, members=stay)

        return gone, await self._addresses.change(
            address, MailingList, alter, by, "members removed"
        )

    async def remove(self, text: str, by: str = ADMIN) -> None:
        await self._addresses.remove(self._addresses.own(text), MailingList, by)


def _checked(address: Address, wish: ListWish) -> Mapping[str, object]:
    """Fields of a MailingList."""
    found: dict[str, object] = {}
    if wish.owner is not None:
        found["owner"] = checks.one_address(wish.owner, "a list needs an owner")
        if parse_address(wish.owner, utf8=True).key == address.key:
            raise BadInput("bounces of a list cannot go to the list; give another owner")
    if wish.members is not None:
        found["members"] = checks.members(wish.members, address)
    if wish.posting is not None:
        if wish.posting not in POSTING:
            raise BadInput(f"posting is one of {', '.join(POSTING)}")
        found["posting"] = wish.posting
    if wish.moderators is not None:
        found["moderators"] = checks.addresses(wish.moderators, checks.MAX_TARGETS, "moderators")
    if wish.name is not None:
        found["name"] = checks.display_name(wish.name)
    return found


def _with(now: MailingList, more: Mapping[str, object]) -> MailingList:
    after = replace(now, **more)  # type: ignore[arg-type]  # made by _checked
    if not after.owner:
        raise BadInput("a list needs an owner, who gets the bounces")
    if after.posting == MODERATORS and not after.moderators:
        raise BadInput("posting by moderators needs at least one moderator")
    return after


def _key(text: str) -> str:
    return parse_address(text, utf8=True).key


def _keys(texts: Sequence[str]) -> set[str]:
    return {_key(text) for text in texts}
