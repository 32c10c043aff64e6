"""Resolves addresses of ours: asks the directory for what tubepost.resolution wants to know."""

from tubepost import resolution
from tubepost.address import Address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import Entry
from tubepost.local_values import EXTENSIONS
from tubepost.resolution import Resolution


class Resolver:
    """The same for smtpd, which asks at RCPT, and for local, which delivers."""

    def __init__(self, directory: Directory, control: Control) -> None:
        self._directory, self._control = directory, control

    async def resolve(self, address: Address) -> Resolution:
        """What is done with mail for `address`, whose domain is local. Raises Unavailable."""
        await self._directory.confirmed_domain(address.domain)
        own = self._directory.canonical(address)
        domain = self._directory.domain(own.domain)
        if domain is None:
            return resolution.nobody(own)
        separators = self._control.get(EXTENSIONS)
        found: dict[str, Entry] = {}
        for candidate in (own, *resolution.candidates(own, separators)):
            entry = await self._directory.entry(candidate)
            if entry:
                found[candidate.key] = entry
                break
        return resolution.resolve(own, domain, found)
