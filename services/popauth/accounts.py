"""Makes and removes domains and accounts. The only writer of the directory.

Every change is one compare-and-set write: two operators at once cannot undo each other.
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace

from services.popauth.passwords import Passwords
from services.popauth.secrets import Secrets
from tubepost import maillog, subjects
from tubepost.address import Address, parse_address, parse_domain
from tubepost.directory import Directory
from tubepost.directory_values import (
    Account,
    Domain,
    account_key,
    address_in,
    domain_key,
    domain_value,
    entry_of,
    entry_value,
)
from tubepost.errors import BadInput, Conflict, Exists, NotFound
from tubepost.keyed import Bucket, Value, quoted, value_in
from tubepost.ports import Bus, CaughtUp
from tubepost.quota import parse_quota

ACTOR = "admin"


def home_of(address: Address) -> str:
    """The account's folder below the mail root: domain, 256 folders, the name in file-safe form."""
    name = quoted(address.local)
    return f"{address.domain}/{zlib.crc32(name.encode()) & 0xFF:02x}/{name}"


class Accounts:
    """Raises BadInput (with NotFound and Exists) and Unavailable."""

    def __init__(self, bus: Bus, directory: Directory, passwords: Passwords) -> None:
        self._bus, self._directory, self._passwords = bus, directory, passwords
        self._bucket = Bucket(bus, subjects.DIRECTORY)
        self._secrets = Secrets(bus)

    async def add_domain(self, text: str) -> str:
        domain = _mail_domain(text)
        if domain in self._directory.domains:
            raise Exists(f"{domain} is there already")
        await self._write(domain_key(domain), domain_value(Domain(domain)))
        maillog.changed("domain added", domain, ACTOR)
        return domain

    async def remove_domain(self, text: str) -> None:
        domain = self._known_domain(text)
        left = len(await self.list(domain))
        if left:
            raise Exists(f"{domain} has {left} accounts; remove them first")
        await self._write(domain_key(domain), None)
        maillog.changed("domain removed", domain, ACTOR)

    async def add_account(self, text: str, password: str) -> str:
        address = parse_address(text)
        self._known_domain(address.domain)
        if await self._directory.entry(address):
            raise Exists(f"{address.key} is there already; use passwd to change its password")
        name = str(Address(address.local.lower(), address.domain))
        account = Account(name, home_of(address), await self._passwords.make(password))
        await self._write(account_key(address), entry_value(account))
        maillog.changed("account added", name, ACTOR)
        return account.address

    async def set_password(self, text: str, password: str, *, reversible: bool = False) -> None:
        """`reversible`: kept readable besides, for CRAM-MD5; otherwise such a secret ends here."""
        address, account = await self._known_account(text)
        changed = replace(account, password=await self._passwords.make(password))
        await self._write(account_key(address), entry_value(changed))
        if reversible:
            await self._secrets.keep(changed, password)
        else:
            await self._secrets.forget(changed)
        maillog.changed("password changed", account.address, ACTOR)

    async def set_flags(self, text: str, wanted: Mapping[str, bool]) -> Account:
        """Sets flags of an account and takes others away; those not named stay as they are."""
        address, account = await self._known_account(text)
        on = {flag for flag, is_set in wanted.items() if is_set}
        changed = replace(account, flags=(account.flags - set(wanted)) | on)
        await self._write(account_key(address), entry_value(changed))
        maillog.changed("flags changed", account.address, ACTOR)
        return changed

    async def set_quota(self, text: str, quota: str) -> None:
        """`quota` in vpopmail's spellings."""
        address, account = await self._known_account(text)
        changed = replace(account, quota=parse_quota(quota))
        await self._write(account_key(address), entry_value(changed))
        maillog.changed("quota changed", account.address, ACTOR)

    async def quota(self, text: str) -> str:
        return str((await self._known_account(text))[1].quota)

    async def remove_account(self, text: str) -> None:
        """Its Maildir stays where it is: mail is never removed with an account."""
        address, account = await self._known_account(text)
        await self._write(account_key(address), None)
        await self._secrets.forget(account)
        maillog.changed("account removed", account.address, ACTOR)

    async def list(self, domain: str = "") -> list[str]:
        """Addresses of the accounts, of one domain or of all."""
        pattern = f"account.{quoted(domain) if domain else '*'}.*"
        stream = subjects.bucket_stream(subjects.DIRECTORY)
        found: set[str] = set()
        async for item in self._bus.follow(
            stream, subjects.bucket_key(subjects.DIRECTORY, pattern)
        ):
            if isinstance(item, CaughtUp):
                return sorted(found)
            key = item.subject.removeprefix(subjects.bucket_key(subjects.DIRECTORY, ""))
            address, value = address_in(key), value_in(item)
            entry = None if value is None else entry_of(address, value)
            found.discard(str(address))
            if isinstance(entry, Account):
                found.add(entry.address)
        raise AssertionError("a follow has no end")

    def _known_domain(self, text: str) -> str:
        domain = _mail_domain(text)
        if domain not in self._directory.domains:
            raise NotFound(
                f"there is no domain {domain}; add it with: tubepost domain add {domain}"
            )
        return domain

    async def _known_account(self, text: str) -> tuple[Address, Account]:
        address = parse_address(text)
        account = await self._directory.account(address)
        if account is None:
            raise NotFound(f"there is no account {address.key}; see: tubepost account list")
        return address, account

    async def _write(self, key: str, value: Value | None) -> None:
        _, expect = await self._bucket.last(key)
        try:
            revision = await self._bucket.put(key, value, expect=expect)
        except Conflict as error:
            raise Conflict(
                "somebody else changed it at the same time; look and try again"
            ) from error
        await self._directory.seen(key, revision)


def _mail_domain(text: str) -> str:
    domain = parse_domain(text)
    if domain.startswith("[") or "." not in domain:
        raise BadInput(f"{domain} cannot be a mail domain here; give one like example.org")
    return domain
