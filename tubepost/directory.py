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

NO_SMTP = "no_smtp"
"""No AUTH at SMTP."""

NO_RELAY = "no_relay"
"""A POP3 login does not open the relay."""

FLAGS = frozenset({NO_SMTP, NO_RELAY})


@dataclass(frozen=True, slots=True)
class Account:
    """`home`: folder below the mail root, in it `Maildir`. `password`: an argon2id hash.

    `flags`: what this account may not do, of FLAGS (VADM-3, AUTH-7). `quota`: octets its mails
    may take, 0 = any.
    """

    address: str
    home: str
    password: str
    flags: frozenset[str] = frozenset()
    quota: int = 0


def domain_key(domain: str) -> str:
    return f"domain.{quoted(domain)}"


def account_key(address: Address) -> str:
    return f"account.{quoted(address.domain)}.{quoted(address.box)}"


def account_value(account: Account) -> Value:
    value: Value = {"home": account.home, "password": account.password}
    if account.flags:
        value["flags"] = sorted(account.flags)
    if account.quota:
        value["quota"] = account.quota
    return value


def account_of(address: Address, value: Value) -> Account:
    """What `account_value` made; what it does not know stays out, as an older release wrote."""
    return Account(
        str(address),
        str(value["home"]),
        str(value["password"]),
        flags=frozenset(value.get("flags", ())),
        quota=int(value.get("quota", 0)),
    )


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

    def owner(self, sender: Address) -> str:
        """The account that an address belongs to, as it stands here; "" = none.

        Its own address, or the longest account before a dash: `joe-lists@` is joe's, as qmail has
        extensions, unless there is an account joe-lists.
        """
        local = sender.local
        while local:
            account = self.account(Address(local, sender.domain))
            if account:
                return account.address
            local = local.rpartition("-")[0]
        return ""

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

    async def reach(self) -> None:
        """Raises Unavailable where the bucket has nobody who could confirm anything."""
        await self._bucket.get("reach", leader=True)

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
            self._accounts[address.key] = account_of(address, value)
