"""Resolves addresses of ours: asks the directory for what tubepost.resolution wants to know."""

from tubepost import resolution
from tubepost.address import Address
from tubepost.candidates import candidates
from tubepost.control import Control
from tubepost.conventions import Conventions
from tubepost.directory import Directory
from tubepost.directory_values import Domain, Entry
from tubepost.errors import Unavailable
from tubepost.local_values import EXTENSIONS
from tubepost.resolution import Resolution


class Resolver:
    """The same for smtpd, which asks at RCPT, and for local, which delivers."""

    def __init__(self, directory: Directory, control: Control) -> None:
        self._directory, self._control = directory, control

    async def resolve(self, address: Address) -> Resolution:
        """What is done with mail for `address`, whose domain is local. Raises Unavailable."""
        if not await self._directory.confirmed_domain(address.domain):
            return resolution.nobody(address)
        own = self._directory.canonical(address)
        domain = await self._domain(address, own)
        separators = self._control.get(EXTENSIONS)
        conventions = Conventions(separators, self._reversed, self._directory.canonical)
        found = {} if domain.hold else await self._found(own, conventions)
        return resolution.resolve(own, domain, found, conventions)

    async def _domain(self, address: Address, own: Address) -> Domain:
        """The domain that decides; one that is on hold by this name is on hold for it."""
        named = self._directory.domain(address.domain)
        if named and (named.hold or not named.alias_of):
            return named
        await self._directory.confirmed_domain(own.domain)
        domain = self._directory.domain(own.domain)
        if domain is None or domain.alias_of:
            raise Unavailable(f"{address.domain} is another name of {own.domain}, which is none")
        return domain

    async def _found(self, own: Address, conventions: Conventions) -> dict[str, Entry]:
        """One look-up where something is at the very address; only else the others, in order.

        One after another: known ones cost no task each, and the first that fits ends it.
        """
        entry = await self._directory.entry(own)
        if entry:
            return {own.key: entry}
        if conventions.reverse(own):
            return {}
        for candidate in candidates(own, conventions.separators):
            entry = await self._directory.entry(candidate.address)
            if entry and candidate.is_for(entry):
                return {candidate.address.key: entry}
        return {}

    def _reversed(self, address: Address) -> str | None:
        """Whom an SRS address was made of: None while there is no SRS."""
        return None
