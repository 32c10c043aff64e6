"""Domains and addresses as every service sees them.

Domains are mirrored in memory; what is at an address is looked up when it is asked for, since there
may be a million of them. Only popauth writes the bucket (services/popauth/accounts.py); the shape
of what it writes stands in directory_values.
"""

import asyncio
from collections.abc import Container

from tubepost import maillog, subjects
from tubepost.address import Address
from tubepost.directory_values import (
    ADDRESSES,
    DOMAINS,
    Account,
    Domain,
    Entry,
    UnreadableEntry,
    account_key,
    address_in,
    domain_in,
    domain_key,
    domain_of,
    entry_of,
)
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket, Mirror, Value
from tubepost.lookups import Lookups
from tubepost.ports import Bus
from tubepost.tasks import background


class Directory:
    """`run` keeps it up to date; `loaded` returns when the domains are there."""

    def __init__(self, bus: Bus) -> None:
        self.mirror = Mirror(bus, subjects.DIRECTORY, self._on_change, keys=DOMAINS)
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        self._entries = Lookups[Entry | UnreadableEntry](bus, subjects.DIRECTORY, ADDRESSES, _entry)
        self._domains: dict[str, Domain] = {}

    async def run(self) -> None:
        """Follows the bucket for ever."""
        async with background(self._entries.run()):
            await self.mirror.run()

    async def loaded(self) -> None:
        """Waits until it can be asked."""
        await asyncio.gather(self.mirror.loaded.wait(), self._entries.loaded.wait())

    @property
    def domains(self) -> Container[str]:
        """The domains whose mail is local, in lower case; alias domains are among them."""
        return self._domains

    def domain_names(self) -> list[str]:
        return sorted(self._domains)

    def domain(self, name: str) -> Domain | None:
        return self._domains.get(name)

    def canonical(self, address: Address) -> Address:
        """The address that it stands for where its domain is another name of one (VDM-13)."""
        domain = self._domains.get(address.domain)
        return Address(address.local, domain.alias_of) if domain and domain.alias_of else address

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

    async def owner(self, sender: Address) -> str:
        """The account that an address belongs to, as it stands here; "" = none.

        Its own address, or the longest account before a dash: `joe-lists@` is joe's, as qmail has
        extensions, unless there is an account joe-lists. Raises Unavailable.
        """
        local = sender.local
        while local:
            account = await self.account(Address(local, sender.domain))
            if account:
                return account.address
            local = local.rpartition("-")[0]
        return ""

    async def confirmed_domain(self, domain: str) -> bool:
        """Whether a domain is local, by the leader's word. Raises Unavailable."""
        if domain not in self._domains:
            found = await self._bucket.get(domain_key(domain), leader=True)
            if found:
                await self.mirror.seen(found[1])
        return domain in self._domains

    async def reach(self) -> None:
        """Raises Unavailable where the bucket has nobody who could confirm anything."""
        await self._bucket.get("reach", leader=True)

    async def seen(self, key: str, revision: int) -> None:
        """Returns once this process knows that change of a key. Raises Unavailable."""
        follower = self.mirror if key.startswith("domain.") else self._entries
        await follower.seen(revision)

    def _on_change(self, key: str, value: Value | None) -> None:
        name = domain_in(key)
        if value is None:
            self._domains.pop(name, None)
            return
        try:
            self._domains[name] = domain_of(name, value)
        except (UnreadableEntry, ValueError, TypeError) as error:
            maillog.entry_unreadable(name, str(error))


def _entry(key: str, value: Value) -> Entry | UnreadableEntry:
    """What cannot be read is not "nothing": mail for it waits."""
    try:
        return entry_of(address_in(key), value)
    except UnreadableEntry as error:
        return error
    except (KeyError, ValueError, TypeError) as error:
        return UnreadableEntry(f"{key}: {error!r}")
