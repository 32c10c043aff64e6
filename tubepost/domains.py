"""The domains whose mail is local, mirrored in memory: thousands of them fit.

scheduler needs no more of the directory than this; tubepost.directory adds what is at an address.
"""

from collections.abc import Container

from tubepost import maillog, subjects
from tubepost.address import Address
from tubepost.directory_values import (
    DOMAINS,
    Domain,
    UnreadableEntry,
    domain_in,
    domain_key,
    domain_of,
)
from tubepost.errors import Unavailable
from tubepost.keyed import Bucket, Mirror, Value
from tubepost.ports import Bus


class Domains:
    """`run` keeps them up to date; `loaded` returns when they are there.

    One that cannot be read is local all the same: mail for it waits, and nobody is refused.
    """

    def __init__(self, bus: Bus) -> None:
        self.mirror = Mirror(
            bus,
            subjects.DIRECTORY,
            self._on_change,
            keys=DOMAINS,
            on_unreadable=self._cannot_read,
        )
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        self._domains: dict[str, Domain | UnreadableEntry] = {}

    async def run(self) -> None:
        """Follows the bucket for ever."""
        await self.mirror.run()

    async def loaded(self) -> None:
        """Waits until it can be asked."""
        await self.mirror.loaded.wait()

    @property
    def domains(self) -> Container[str]:
        """The domains whose mail is local, in lower case; alias domains are among them."""
        return self._domains

    def domain_names(self) -> list[str]:
        return sorted(self._domains)

    def domain(self, name: str) -> Domain | None:
        """Raises Unavailable for one that this release cannot read."""
        found = self._domains.get(name)
        if isinstance(found, UnreadableEntry):
            raise Unavailable(str(found))
        return found

    def canonical(self, address: Address) -> Address:
        """The address that it stands for where its domain is another name of one (VDM-13).

        Raises Unavailable.
        """
        domain = self.domain(address.domain)
        return Address(address.local, domain.alias_of) if domain and domain.alias_of else address

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

    def _on_change(self, key: str, value: Value | None) -> None:
        name = domain_in(key)
        if value is None:
            self._domains.pop(name, None)
            return
        try:
            self._domains[name] = domain_of(name, value)
        except (UnreadableEntry, ValueError, TypeError, AttributeError) as error:
            self._cannot_read(key, str(error))

    def _cannot_read(self, key: str, why: str) -> None:
        name = domain_in(key)
        self._domains[name] = UnreadableEntry(f"domain {name} cannot be read: {why}")
        maillog.entry_unreadable(name, why)
