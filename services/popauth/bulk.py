"""Many accounts at once: all of a domain in one atomic batch, those that cannot be left out."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.popauth import checks, diffs
from services.popauth.accounts import Wish, new_account
from services.popauth.addresses import Addresses, Place, put_entry, recount
from services.popauth.changes import Act, Change, Last, decided
from services.popauth.counts import Counts
from services.popauth.passwords import Passwords, foreign_hash
from tubepost.address import Address
from tubepost.directory_values import Domain, account_key
from tubepost.errors import BadInput
from tubepost.quota import parse_quota

MOST = 500
"""Accounts of one call. The bus takes batches of 1000."""

READS = 50
"""Addresses looked up at once."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Row:
    """`password`, or `hash`. `quota`: None = the domain's."""

    address: str
    password: str = ""
    hash: str = ""
    quota: str | None = None
    name: str = ""


@dataclass(slots=True)
class Done:
    """Addresses; `refused`: those as they were given, and why."""

    added: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An account that may be made. `text`: its address as it was given."""

    text: str
    address: Address
    hashed: str
    wish: Wish


class Bulk:
    """Raises Conflict, Unavailable and StoreFull; then whole domains are in, or not."""

    def __init__(self, addresses: Addresses, passwords: Passwords) -> None:
        self._addresses, self._passwords = addresses, passwords

    async def add(self, rows: Sequence[Row], by: str) -> Done:
        """An address given twice is taken as it was given first."""
        done = Done()
        domains: dict[str, dict[Address, _Ready]] = {}
        for row, found in zip(rows, await _each(rows, self._checked), strict=True):
            if isinstance(found, BadInput):
                done.refused.append((row.address, str(found)))
            elif isinstance(found, Address):
                done.existing.append(str(found))
            else:
                of_domain = domains.setdefault(found.address.domain, {})
                of_domain.setdefault(found.address, found)
        for name, wanted in domains.items():
            await self._add_to(name, list(wanted.values()), by, done)
        return done

    async def _checked(self, row: Row) -> _Ready | Address | BadInput:
        """The address alone where something is there: no password is hashed for it."""
        try:
            address = self._addresses.own(row.address)
            if bool(row.password) == bool(row.hash):
                raise BadInput("give a password or a hash, one of them")
            quota = None if row.quota is None else parse_quota(row.quota)
            wish = Wish(checks.display_name(row.name), quota)
            if await self._addresses.known(address):
                return address
            return _Ready(row.address, address, await self._hash(row), wish)
        except BadInput as error:
            return error

    async def _hash(self, row: Row) -> str:
        return foreign_hash(row.hash) if row.hash else await self._passwords.make(row.password)

    async def _add_to(self, name: str, wanted: Sequence[_Ready], by: str, done: Done) -> None:
        async def attempt() -> list[_Ready]:
            standing = await self._addresses.standing(name)
            lasts = await _each(wanted, self._last)
            new = [(r, last) for r, last in zip(wanted, lasts, strict=True) if last.value is None]
            if new:
                act = Act(by, "account added", f"{len(new)} in {name}")
                await self._addresses.changes.write(act, *_changes(standing, new))
            return [ready for ready, _ in new]

        try:
            added = await decided(attempt)
        except BadInput as error:
            done.refused += [(ready.text, str(error)) for ready in wanted]
            return
        new = {ready.address for ready in added}
        done.added += [str(ready.address) for ready in added]
        done.existing += [str(r.address) for r in wanted if r.address not in new]

    async def _last(self, ready: _Ready) -> Last:
        return await self._addresses.changes.last(account_key(ready.address))


def _changes(
    standing: tuple[Last, Counts, Domain], new: Sequence[tuple[_Ready, Last]]
) -> Iterator[Change]:
    """The domain's count, and the accounts. Raises Exists where they are too many."""
    counted, counts, domain = standing
    counts.check(domain.limits, "accounts", len(new))
    yield recount(domain.name, counted, counts.plus("accounts", len(new)))
    for ready, last in new:
        place = Place(ready.address, domain, last.revision, "")
        account = new_account(ready.hashed, ready.wish)(place)
        yield put_entry(ready.address, account, last, diffs.of_entry(None, account))


async def _each(items: Sequence[T], do: Callable[[T], Awaitable[R]]) -> list[R]:
    """In the same order, some of them at once."""
    limit = asyncio.Semaphore(READS)

    async def one(item: T) -> R:
        async with limit:
            return await do(item)

    return list(await asyncio.gather(*map(one, items)))
