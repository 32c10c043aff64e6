"""Makes, changes and removes accounts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.popauth import checks
from services.popauth.addresses import Addresses, Place
from services.popauth.changes import ADMIN, counted_since
from services.popauth.homes import first_homes, home_of
from services.popauth.passwords import Passwords
from services.popauth.secrets import Secrets
from tubepost.account_rights import TEXTS
from tubepost.address import Address
from tubepost.directory import Directory
from tubepost.directory_values import LOCKED, MUST_CHANGE, Account
from tubepost.errors import BadInput
from tubepost.ports import Bus
from tubepost.quota import Quota, parse_quota

NOT_PROVEN = "wrong name or password"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new account shall have. `quota`: None = its domain's. `old_mail`: see NewAccount."""

    name: str = ""
    quota: Quota | None = None
    old_mail: bool = False


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Where else its mail goes, and whose it is. What is None stays as it is."""

    forward: Sequence[str] | None = None
    keep: bool | None = None
    name: str | None = None

    def checked(self, own: Address) -> dict[str, Any]:
        """Fields of the Account at `own`."""
        found: dict[str, Any] = {}
        if self.forward is not None:
            found["forward"] = checks.targets(self.forward, own)
        if self.keep is not None:
            found["keep"] = self.keep
        if self.name is not None:
            found["name"] = checks.display_name(self.name)
        return found


class Accounts:
    """Raises BadInput (with NotFound and Exists), Conflict, Unavailable and StoreFull."""

    def __init__(self, bus: Bus, directory: Directory, passwords: Passwords) -> None:
        self._directory, self._passwords = directory, passwords
        self.addresses, self._secrets = Addresses(bus, directory), Secrets(bus)

    async def get(self, text: str) -> Account:
        return await self.addresses.get(text, Account)

    async def list(self, domain: str = "") -> list[str]:
        """Addresses of the accounts, of one domain or of all."""
        name = checks.mail_domain(domain) if domain else ""
        return [row.address for row in await self.addresses.listing.every([name], "account")]

    async def add_account(
        self, text: str, password: str, wish: Wish = Wish(), by: str = ADMIN
    ) -> str:
        address = self.addresses.own(text)
        checks.display_name(wish.name)
        await self.addresses.check_free(address)
        hashed = await self._passwords.make(password)
        return (await self.addresses.add(address, new_account(hashed, wish), by)).address

    async def set_password(
        self, text: str, password: str, *, reversible: bool = False, by: str = ADMIN
    ) -> None:
        """`reversible`: kept readable besides, for CRAM-MD5; otherwise such a secret ends here."""
        account = await self.get(text)
        hashed = await self._passwords.make(password)
        changed = await self._change(
            account.address, lambda a: replace(a, password=hashed), by, "password changed"
        )
        if reversible:
            await self._secrets.keep(changed, password)
        else:
            await self._secrets.forget(changed)

    async def change_own(self, text: str, old: str, new: str) -> bool:
        """By the user himself, proven by the old password; False where it is not.

        A password that had to be changed is changed then. CRAM-MD5 ends with the old one.
        """
        account = await self._proven(text, old)
        if account is None:
            return False
        if LOCKED in account.flags:
            raise BadInput(TEXTS[LOCKED])
        hashed = await self._passwords.make(new)
        if old == new:
            raise BadInput("the new password is the old one; choose another")

        def alter(now: Account) -> Account:
            if now.password != account.password or LOCKED in now.flags:
                raise BadInput("the account was changed at the same time; try again")
            return replace(now, password=hashed, flags=now.flags - {MUST_CHANGE})

        changed = await self._change(account.address, alter, account.address, "password changed")
        await self._secrets.forget(changed)
        return True

    async def set_flags(self, text: str, wanted: Mapping[str, bool], by: str = ADMIN) -> Account:
        """Sets flags of an account and takes others away; those not named stay as they are."""
        return await self.change(text, wanted, Forwarding(), by)

    async def change(
        self, text: str, flags: Mapping[str, bool], more: Forwarding, by: str = ADMIN
    ) -> Account:
        """Flags as in `set_flags`, and the rest, at once."""
        checks.flags(flags)
        wanted = more.checked(self.addresses.own(text))
        on = {flag for flag, is_set in flags.items() if is_set}

        def alter(now: Account) -> Account:
            return replace(now, flags=(now.flags - set(flags)) | on, **wanted)

        return await self._change(text, alter, by, "account changed")

    async def set_quota(self, text: str, quota: str, by: str = ADMIN) -> None:
        """`quota` in vpopmail's spellings."""
        wanted = parse_quota(quota)

        def alter(now: Account) -> Account:
            since = now.quota_since if now.quota else counted_since(time.time())
            return replace(now, quota=wanted, quota_since=since if wanted else 0.0)

        await self._change(text, alter, by, "quota changed")

    async def quota(self, text: str) -> str:
        return str((await self.get(text)).quota)

    async def remove_account(self, text: str, by: str = ADMIN) -> None:
        """Its Maildir stays where it is: mail is never removed with an account."""
        address = self.addresses.own(text)
        await self._secrets.forget(await self.addresses.remove(address, Account, by))

    async def _change(
        self, text: str, alter: Callable[[Account], Account], by: str, action: str
    ) -> Account:
        address = self.addresses.own(text)
        return await self.addresses.change(address, Account, alter, by, action)

    async def _proven(self, text: str, password: str) -> Account | None:
        """A wrong name takes as long as a wrong password."""
        try:
            account = await self._directory.account(self.addresses.own(text))
        except BadInput:
            account = None
        stored = account.password if account else None
        return account if await self._passwords.check(stored, password) else None


def new_account(hashed: str, wish: Wish) -> Callable[[Place], Account]:
    """The account that is put at a place. Old mail is the new user's only where that is asked."""

    def make(place: Place) -> Account:
        home = home_of(place.address, place.life)
        if wish.old_mail:
            home = place.old_home or (first_homes(place.address) if place.life else home)
        quota = place.domain.limits.quota if wish.quota is None else wish.quota
        since = counted_since(time.time()) if wish.old_mail and quota else 0.0
        return Account(
            str(place.address), home, hashed, quota=quota, name=wish.name, quota_since=since
        )

    return make
