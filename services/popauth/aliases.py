"""Makes, changes and removes aliases."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.popauth import checks
from services.popauth.addresses import Addresses
from services.popauth.changes import ADMIN
from tubepost.address import Address
from tubepost.directory_values import Alias
from tubepost.errors import BadInput


@dataclass(frozen=True, slots=True)
class AliasWish:
    """What an alias shall be, whole."""

    to: Sequence[str]
    owner: str = ""
    verp: bool = False


class Aliases:
    """Raises BadInput (with NotFound and Exists), Conflict, Unavailable and StoreFull."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def get(self, text: str) -> Alias:
        return await self._addresses.get(text, Alias)

    async def add(self, text: str, wish: AliasWish, by: str = ADMIN) -> Alias:
        address = self._addresses.own(text)
        wanted = _checked(address, wish)
        await self._addresses.check_free(address)
        return await self._addresses.add(address, lambda _: wanted, by)

    async def set(self, text: str, wish: AliasWish, by: str = ADMIN) -> Alias:
        address = self._addresses.own(text)
        wanted = _checked(address, wish)
        return await self._addresses.change(address, Alias, lambda _: wanted, by, "alias changed")

    async def remove(self, text: str, by: str = ADMIN) -> None:
        await self._addresses.remove(self._addresses.own(text), Alias, by)


def _checked(address: Address, wish: AliasWish) -> Alias:
    to = checks.targets(wish.to, address)
    if not to:
        raise BadInput("an alias needs at least one address; to end it, remove it")
    if wish.verp and not wish.owner:
        raise BadInput("verp needs an owner: bounces come back to an address below the owner's")
    owner = checks.one_address(wish.owner, "owner") if wish.owner else ""
    return Alias(str(address), to, owner, wish.verp)
