"""Domains and addresses as smtpd, local and popauth see them.

Domains are mirrored in memory; what is at an address is looked up when it is asked for, since there
may be a million of them. Only popauth writes the bucket (services/popauth/accounts.py); the shape
of what it writes stands in directory_values.
"""

import asyncio
from collections.abc import Sequence

from tubepost import subjects
from tubepost.address import Address
from tubepost.candidates import Way, candidates
from tubepost.directory_values import (
    ADDRESSES,
    Account,
    Alias,
    Entry,
    UnreadableEntry,
    account_key,
    address_in,
    entry_of,
)
from tubepost.domains import Domains
from tubepost.errors import Unavailable
from tubepost.keyed import Unreadable, value_of
from tubepost.lookups import Lookups
from tubepost.ports import Bus
from tubepost.tasks import background


class Directory(Domains):
    """`run` keeps it up to date; `loaded` returns when the domains are there."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._entries = Lookups[Entry | UnreadableEntry](bus, subjects.DIRECTORY, ADDRESSES, _entry)

    async def run(self) -> None:
        """Follows the bucket for ever."""
        async with background(self._entries.run()):
            await super().run()

    async def loaded(self) -> None:
        """Waits until it can be asked."""
        await asyncio.gather(super().loaded(), self._entries.loaded.wait())

    async def entry(self, address: Address) -> Entry | None:
        """What is at this very address; "nothing" is the leader's word. Raises Unavailable."""
        found = await self._entries.get(account_key(address))
        if isinstance(found, UnreadableEntry):
            raise Unavailable(str(found))
        return found

    async def account(self, address: Address) -> Account | None:
        """As `entry`, where only an account will do; by any name of its domain."""
        found = await self.entry(self.canonical(address))
        return found if isinstance(found, Account) else None

    async def owner(self, sender: Address, separators: Sequence[str]) -> str:
        """The account that an address belongs to, as it stands here; "" = none.

        Its own address by any name of its domain, or an extension of it as `extensions` has them:
        `joe-lists@` is joe's, unless something else is there. Raises Unavailable.
        """
        own = self.canonical(sender)
        entry = await self.entry(own)
        if entry:
            return entry.address if isinstance(entry, Account) else ""
        for candidate in candidates(own, separators):
            if candidate.way is Way.EXTENSION:
                found = await self.entry(candidate.address)
                if isinstance(found, Account):
                    return found.address
                if isinstance(found, Alias):
                    return ""
        return ""

    async def seen(self, key: str, revision: int) -> None:
        """Returns once this process knows that change of a key. Raises Unavailable."""
        follower = self.mirror if key.startswith("domain.") else self._entries
        await follower.seen(revision)

    async def all_seen(self, keys: Sequence[str], last: int) -> None:
        """As `seen`, of the keys of one `append_all`, in its order, that returned `last`."""
        first = last - len(keys) + 1
        for revision, key in enumerate(keys, first):
            await self.seen(key, revision)


def _entry(key: str, data: bytes) -> Entry | UnreadableEntry:
    """What cannot be read is not "nothing": mail for it waits."""
    try:
        return entry_of(address_in(key), value_of(data))
    except UnreadableEntry as error:
        return error
    except (Unreadable, KeyError, ValueError, TypeError, AttributeError) as error:
        return UnreadableEntry(f"{key} cannot be read: {error!r}")
