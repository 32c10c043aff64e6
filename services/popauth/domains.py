"""Makes, changes and removes domains.

Whatever may not happen at the same time writes the same count: an address made in a domain that is
being removed, a domain that becomes another name of one which does the same.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.popauth import checks, diffs
from services.popauth.addresses import Addresses, no_domain
from services.popauth.changes import ADMIN, Act, Change, Last, counted_since, decided
from services.popauth.counts import Counts, counts_key, counts_value
from tubepost.address import parse_address
from tubepost.directory import Directory
from tubepost.directory_values import Domain, domain_key, domain_of, domain_value
from tubepost.errors import BadInput, Exists, NotFound
from tubepost.local_values import EXTENSIONS
from tubepost.ports import Clock
from tubepost.quota import parse_quota


@dataclass(frozen=True, slots=True)
class LimitsWish:
    """What is None stays as it is."""

    accounts: int | None = None
    aliases: int | None = None
    lists: int | None = None
    quota: str | None = None
    flags: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class DomainWish:
    """What is None stays as it is."""

    alias_of: str | None = None
    unknown: str | None = None
    hold: bool | None = None
    quota: str | None = None
    limits: LimitsWish | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """A domain as it stands now, and its count."""

    name: str
    last: Last
    counted: Last
    counts: Counts

    @property
    def domain(self) -> Domain | None:
        return None if self.last.value is None else domain_of(self.name, self.last.value)

    def recounted(self, more: int) -> Change:
        """With more, or fewer, domains that are other names of it."""
        value = counts_value(self.counts.plus("domains", more))
        return Change(counts_key(self.name), value, self.counted)


class Domains:
    """Raises BadInput (with NotFound and Exists), Conflict, Unavailable and StoreFull.

    `tokens_for`: names of the tokens that are for a domain. `separators`: of extensions.
    """

    def __init__(
        self,
        addresses: Addresses,
        directory: Directory,
        tokens_for: Callable[[str], Sequence[str]] = lambda _: (),
        separators: Callable[[], Sequence[str]] = lambda: EXTENSIONS.default,
        clock: Clock = time.time,
    ) -> None:
        self._addresses, self._directory = addresses, directory
        self._tokens_for, self._separators, self._clock = tokens_for, separators, clock

    async def get(self, text: str) -> tuple[Domain, Counts]:
        """A domain and what it has."""
        state = await self._state(checks.mail_domain(text))
        return _there(state), state.counts

    def aliases(self, name: str) -> list[str]:
        """The domains that are other names of one."""
        every = map(self._directory.domain, self._directory.domain_names())
        return [domain.name for domain in every if domain and domain.alias_of == name]

    async def add(self, text: str, alias_of: str = "", by: str = ADMIN) -> str:
        name = checks.mail_domain(text)
        domain = Domain(name, alias_of=checks.mail_domain(alias_of) if alias_of else "")

        async def attempt() -> str:
            state = await self._state(name)
            if state.domain:
                raise Exists(f"{name} is there already")
            counted = [await self._pointing(domain.alias_of, domain, 1)] if alias_of else []
            own = Change(counts_key(name), counts_value(Counts()), state.counted)
            put = Change(
                domain_key(name), domain_value(domain), state.last, diffs.of_domain(None, domain)
            )
            await self._addresses.changes.write(Act(by, "domain added", name), own, *counted, put)
            return name

        return await decided(attempt)

    async def change(self, text: str, wish: DomainWish, by: str = ADMIN) -> tuple[Domain, Counts]:
        name = checks.mail_domain(text)
        more = await self._checked(wish)

        async def attempt() -> tuple[Domain, Counts]:
            state = await self._state(name)
            before = _there(state)
            after = _with(before, more, self._clock())
            if after != before:
                diff = diffs.of_domain(before, after)
                put = Change(domain_key(name), domain_value(after), state.last, diff)
                counted = await self._recounts(state, before, after)
                act = Act(by, "domain changed", name)
                await self._addresses.changes.write(act, *counted, put)
            return after, state.counts

        return await decided(attempt)

    async def remove(self, text: str, by: str = ADMIN) -> None:
        """Only when nothing is in it any more. Maildirs stay on disk."""
        name = checks.mail_domain(text)

        async def attempt() -> None:
            state = await self._state(name)
            domain = _there(state)
            self._check_empty(state)
            counted = [Change(counts_key(name), None, state.counted)]
            if domain.alias_of:
                counted.append(await self._pointing(domain.alias_of, domain, -1))
            gone = Change(domain_key(name), None, state.last, "removed")
            await self._addresses.changes.write(Act(by, "domain removed", name), *counted, gone)

        await decided(attempt)

    def _check_empty(self, state: _State) -> None:
        name, contents = state.name, state.counts.contents()
        if contents:
            raise Exists(f"{name} has {contents}; remove them first")
        if state.counts.domains:
            names = ", ".join(self.aliases(name)) or "another domain"
            raise Exists(f"{names} stands for {name}; remove that first")
        tokens = self._tokens_for(name)
        if tokens:
            raise Exists(f"the token {tokens[0]} is for {name}; revoke it first")

    async def _recounts(self, state: _State, before: Domain, after: Domain) -> list[Change]:
        """What has to be counted anew where a domain becomes another name, or is one no more."""
        if after.alias_of == before.alias_of:
            return []
        if after.alias_of:
            contents = state.counts.contents()
            if contents or state.counts.domains:
                has = contents or "other names of its own"
                raise Exists(f"{state.name} has {has}; remove them before it stands for another")
        found = [state.recounted(0)]
        if before.alias_of:
            found.append(await self._pointing(before.alias_of, before, -1))
        if after.alias_of:
            found.append(await self._pointing(after.alias_of, after, 1))
        return found

    async def _pointing(self, target: str, alias: Domain, more: int) -> Change:
        """The count of the domain that `alias` stands for."""
        if target == alias.name:
            raise BadInput(f"{target} cannot be another name of itself")
        state = await self._state(target)
        if more > 0 and _there(state).alias_of:
            raise BadInput(f"{target} is itself another name of {_there(state).alias_of}; use that")
        return state.recounted(more)

    async def _state(self, name: str) -> _State:
        """The count first, see Addresses.standing."""
        changes = self._addresses.changes
        counted = await changes.last(counts_key(name))
        last = await changes.last(domain_key(name))
        there = last.value is not None
        counts = await self._addresses.counts(name, counted) if there else Counts()
        return _State(name, last, counted, counts)

    async def _checked(self, wish: DomainWish) -> dict[str, Any]:
        """Fields of a Domain; those of its limits below `limits`."""
        found: dict[str, Any] = {}
        if wish.alias_of is not None:
            found["alias_of"] = checks.mail_domain(wish.alias_of) if wish.alias_of else ""
        if wish.unknown is not None:
            found["unknown"] = checks.unknown(wish.unknown)
            await self._check_catch_all(found["unknown"])
        if wish.hold is not None:
            found["hold"] = wish.hold
        if wish.quota is not None:
            found["quota"] = parse_quota(wish.quota)
        if wish.limits is not None:
            found["limits"] = _limits(wish.limits)
        return found

    async def _check_catch_all(self, unknown: str) -> None:
        """One of ours has to exist: else its own mail would be for the catch-all, for ever."""
        if "@" not in unknown:
            return
        address = self._directory.canonical(parse_address(unknown, utf8=True))
        if address.domain not in self._directory.domains:
            return
        ask = self._directory
        if not (await ask.entry(address) or await ask.owner(address, self._separators())):
            raise NotFound(f"there is nothing at {address}; add it first, then make it a catch-all")


def _limits(wish: LimitsWish) -> dict[str, Any]:
    counts = {"accounts": wish.accounts, "aliases": wish.aliases, "lists": wish.lists}
    found: dict[str, Any] = {name: most for name, most in counts.items() if most is not None}
    if wish.quota is not None:
        found["quota"] = parse_quota(wish.quota)
    if wish.flags is not None:
        found["flags"] = checks.domain_flags(wish.flags)
    return found


def _with(before: Domain, more: dict[str, Any], now: float) -> Domain:
    limits = replace(before.limits, **more.get("limits", {}))
    after = replace(before, **{**more, "limits": limits})
    if bool(after.quota) == bool(before.quota):
        return after
    return replace(after, quota_since=counted_since(now) if after.quota else 0.0)


def _there(state: _State) -> Domain:
    if state.domain is None:
        raise no_domain(state.name)
    return state.domain
