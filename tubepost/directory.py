"""Domains and accounts as every service sees them: a mirror of the bucket.

Only popauth writes it (services/popauth/accounts.py); the shape of what it writes stands here.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from tubepost import subjects
from tubepost.address import Address
from tubepost.keyed import Bucket, Mirror, Value, quoted, unquoted
from tubepost.ports import Bus


@dataclass(frozen=True, slots=True)
class Account:
    """`home`: folder below the mail root, in it `Maildir`. `password`: an argon2id hash."""

    address: str
    home: str
    password: str


def domain_key(domain: str) -> str:
    return f"domain.{quoted(domain)}"


def account_key(address: Address) -> str:
    return f"account.{quoted(address.domain)}.{quoted(address.box)}"


def account_value(account: Account) -> Value:
    return {"home": account.home, "password": account.password}


class Directory:
    """`run` keeps it up to date; `mirror.loaded` tells when it is there."""

    def __init__(self, bus: Bus) -> None:
        self.mirror = Mirror(bus, subjects.DIRECTORY, self._on_change)
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        self._domains: set[str] = set()
        self._accounts: dict[str, Account] = {}

    async def run(self) -> None:
        """Follows the bucket for ever."""
        await self.mirror.run()

    @property
    def domains(self) -> Container[str]:
        """The domains whose mail is local, in lower case."""
        return self._domains

    def domain_names(self) -> list[str]:
        return sorted(self._domains)

    def account(self, address: Address) -> Account | None:
        return self._accounts.get(address.key)

    async def confirmed_account(self, address: Address) -> Account | None:
        """As `account`, but "there is none" is the leader's word. Raises Unavailable.

        Asked before a mail is refused or bounced: this mirror may be milliseconds behind.
        """
        if self.account(address) is None:
            await self._catch_up(account_key(address))
        return self.account(address)

    async def confirmed_domain(self, domain: str) -> bool:
        """Whether a domain is local, by the leader's word. Raises Unavailable."""
        if domain not in self._domains:
            await self._catch_up(domain_key(domain))
        return domain in self._domains

    async def _catch_up(self, key: str) -> None:
        found = await self._bucket.get(key, leader=True)
        if found:
            await self.mirror.seen(found[1])

    def accounts(self) -> list[Account]:
        return [self._accounts[key] for key in sorted(self._accounts)]

    def _on_change(self, key: str, value: dict[str, Any] | None) -> None:
        kind, *names = key.split(".")
        match kind, [unquoted(name) for name in names]:
            case "domain", [domain]:
                (self._domains.add if value is not None else self._domains.discard)(domain)
            case "account", [domain, local]:
                self._set_account(Address(local, domain), value)

    def _set_account(self, address: Address, value: dict[str, Any] | None) -> None:
        if value is None:
            self._accounts.pop(address.key, None)
        else:
            account = Account(str(address), str(value["home"]), str(value["password"]))
            self._accounts[address.key] = account
