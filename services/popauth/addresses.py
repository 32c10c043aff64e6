"""Puts accounts, aliases and lists at their addresses, changes them and takes them away.

An address holds one thing. The count of its domain is written with it, see counts.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from services.popauth import diffs
from services.popauth.changes import Act, Change, Changes, Last, decided
from services.popauth.counts import Counts, counted_as, counts_key, counts_of, counts_value
from services.popauth.listing import Listing
from tubepost.address import Address, parse_address
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Alias,
    Domain,
    Entry,
    MailingList,
    UnreadableEntry,
    account_key,
    domain_key,
    domain_of,
    entry_of,
    entry_value,
)
from tubepost.errors import BadInput, Exists, NotFound, Unavailable
from tubepost.ports import Bus

HOME = "Tubepost-Home"
"""Header of what stands where an account was before: the folder with its mail."""

E = TypeVar("E", Account, Alias, MailingList)

NAMES: Mapping[type[Entry], str] = {
    Account: "account",
    Alias: "alias",
    MailingList: "list",
}

_WITH_ARTICLE = {Account: "an account", Alias: "an alias", MailingList: "a list"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry is about to be put. `life`: 0 = nothing was ever there.

    `old_home`: with the mail of the last account there, "" = there was none, or long ago.
    """

    address: Address
    domain: Domain
    life: int
    old_home: str


class Addresses:
    """Raises BadInput (with NotFound and Exists), Conflict, Unavailable and StoreFull."""

    def __init__(self, bus: Bus, directory: Directory) -> None:
        self._directory, self.changes = directory, Changes(bus, directory)
        self.listing = Listing(bus, directory.domain_names)

    def own(self, text: str) -> Address:
        """The address that a text stands for: in small letters, by its domain's own name."""
        found = self._directory.canonical(parse_address(text))
        return Address(found.box, found.domain)

    async def entry(self, address: Address) -> Entry | None:
        return _read(address, await self.changes.last(account_key(address)))

    async def get(self, text: str, kind: type[E]) -> E:
        """What stands at an address, where it is of that kind."""
        address = self.own(text)
        return _of_kind(address, await self.entry(address), kind)

    async def check_free(self, address: Address) -> None:
        """Looks before work is done for nothing; `add` is what counts."""
        if await self.known(address):
            raise there_already(address, await self._directory.entry(address))

    async def known(self, address: Address) -> bool:
        """Whether something is there. NotFound where the domain is not ours."""
        if self._directory.domain(address.domain) is None:
            raise no_domain(address.domain)
        return await self._directory.entry(address) is not None

    async def add(self, address: Address, make: Callable[[Place], E], by: str) -> E:
        """`make` says what; it is asked again where somebody else was quicker."""

        async def attempt() -> E:
            was_counted, counts, domain = await self.standing(address.domain)
            last = await self.changes.last(account_key(address))
            there = _read(address, last)
            if there:
                raise there_already(address, there)
            entry = make(Place(address, domain, last.revision, last.headers.get(HOME, "")))
            counts.check(domain.limits, counted_as(entry))
            await self.changes.write(
                Act(by, f"{NAMES[type(entry)]} added", str(address)),
                recount(address.domain, was_counted, counts.plus(counted_as(entry), 1)),
                put_entry(address, entry, last, diffs.of_entry(None, entry)),
            )
            return entry

        return await decided(attempt)

    async def change(
        self, address: Address, kind: type[E], alter: Callable[[E], E], by: str, action: str
    ) -> E:
        """Nothing is written where `alter` changes nothing."""

        async def attempt() -> E:
            last = await self.changes.last(account_key(address))
            before = _of_kind(address, _read(address, last), kind)
            after = alter(before)
            if after != before:
                put = put_entry(address, after, last, diffs.of_entry(before, after))
                await self.changes.write(Act(by, action, str(address)), put)
            return after

        return await decided(attempt)

    async def remove(self, address: Address, kind: type[E], by: str) -> E:
        """What was there."""

        async def attempt() -> E:
            was_counted, counts, _ = await self.standing(address.domain)
            last = await self.changes.last(account_key(address))
            before = _of_kind(address, _read(address, last), kind)
            headers = _home_of(before, last)
            await self.changes.write(
                Act(by, f"{NAMES[kind]} removed", str(address)),
                recount(address.domain, was_counted, counts.plus(counted_as(before), -1)),
                Change(account_key(address), None, last, "removed", headers),
            )
            return before

        return await decided(attempt)

    async def standing(self, name: str) -> tuple[Last, Counts, Domain]:
        """A domain's count, to be written again, and the domain. NotFound where it is none.

        The count is read first: whatever changes the domain afterwards changes the count, too,
        and then the write that follows is a conflict.
        """
        counted = await self.changes.last(counts_key(name))
        last = await self.changes.last(domain_key(name))
        if last.value is None:
            raise no_domain(name)
        domain = domain_of(name, last.value)
        if domain.alias_of:
            raise BadInput(f"{name} is another name of {domain.alias_of}; use that")
        return counted, await self.counts(name, counted), domain

    async def counts(self, name: str, counted: Last) -> Counts:
        """What the value at the count's key says."""
        if counted.value is not None:
            return counts_of(counted.value)
        others = map(self._directory.domain, self._directory.domain_names())
        return await self.listing.counts(
            name, (other.name for other in others if other and other.alias_of == name)
        )


def recount(domain: str, was: Last, counts: Counts) -> Change:
    """To be written with what is counted."""
    return Change(counts_key(domain), counts_value(counts), was)


def put_entry(address: Address, entry: Entry, last: Last, diff: str) -> Change:
    """Where the mail of an earlier account lies is not forgotten."""
    kept = {HOME: last.headers[HOME]} if HOME in last.headers else {}
    return Change(account_key(address), entry_value(entry), last, diff, kept)


def _home_of(entry: Entry, last: Last) -> dict[str, str]:
    if isinstance(entry, Account):
        return {HOME: entry.home}
    return {HOME: last.headers[HOME]} if HOME in last.headers else {}


def _read(address: Address, last: Last) -> Entry | None:
    try:
        return None if last.value is None else entry_of(address, last.value)
    except (UnreadableEntry, KeyError, ValueError, TypeError) as error:
        raise Unavailable(f"{address}: {error}") from error


def _of_kind(address: Address, entry: Entry | None, kind: type[E]) -> E:
    if isinstance(entry, kind):
        return entry
    name = NAMES[kind]
    if entry is None:
        raise NotFound(f"there is no {name} {address}; see: tubepost {name} list")
    raise NotFound(f"{address} is not {_WITH_ARTICLE[kind]} but {_WITH_ARTICLE[type(entry)]}")


def there_already(address: Address, entry: Entry | None) -> Exists:
    """`Exists` that says what it is."""
    match entry:
        case Account():
            return Exists(
                f"{address} is there already, as an account; use passwd to change its password"
            )
        case Alias():
            return Exists(f"{address} is there already, as an alias; use alias set to change it")
    return Exists(f"{address} is there already, as a list; use list set to change it")


def no_domain(name: str) -> NotFound:
    return NotFound(f"there is no domain {name}; add it with: tubepost domain add {name}")
