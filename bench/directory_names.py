"""Domains and accounts of the directory bench: who is there, and what is written for each."""

from collections.abc import Iterator

from tubepost import subjects
from tubepost.address import Address
from tubepost.directory_values import Account, account_key, domain_key, entry_value
from tubepost.keyed import encoded

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRvZjE2b2N0$" + "h" * 43
"""As long as a real one."""


def domain_name(number: int) -> str:
    return f"customer{number:05}.example"


def account_of(number: int, domains: int) -> Address:
    return Address(f"user{number:07}", domain_name(number % domains))


def account_value(address: Address, name: str = "") -> bytes:
    home = f"{address.domain}/5f/{address.local}"
    return encoded(entry_value(Account(str(address), home, HASH, name=name)))


def writes(domains: int, accounts: int) -> Iterator[tuple[str, bytes]]:
    """Subject and data of everything."""
    for number in range(domains):
        yield subjects.bucket_key(subjects.DIRECTORY, domain_key(domain_name(number))), b"{}"
    for number in range(accounts):
        address = account_of(number, domains)
        key = subjects.bucket_key(subjects.DIRECTORY, account_key(address))
        yield key, account_value(address)
