"""Domains, accounts, aliases and lists in the directory of a running platform, without a command
for each: with popauth's own rights on the bus, which it alone has.
"""

import asyncio
import json
from pathlib import Path

from tubepost import subjects
from tubepost.address import parse_address
from tubepost.directory_values import (
    Account,
    Domain,
    Entry,
    account_key,
    domain_key,
    domain_value,
    entry_value,
)
from tubepost.keyed import Bucket, Value
from tubepost.nats_bus import NatsBus


def account(address: str, *, forward: tuple[str, ...] = (), keep: bool = True) -> Account:
    """Nobody can log in to it. See `home_of`."""
    return Account(address, home_of(address), "no password", forward=forward, keep=keep)


def home_of(address: str) -> str:
    """Its folder below the mail root."""
    return f"homes/{address}"


def put(data: Path, *entries: Domain | Entry) -> None:
    """Writes them into the directory of the platform that runs on `data`."""
    config = json.loads((data / "nats" / "nats.conf").read_text())
    [popauth] = [u for u in config["accounts"]["MAIL"]["users"] if u["user"] == "popauth"]
    asyncio.run(_put(f"nats://{config['listen']}", popauth["password"], entries))


async def _put(url: str, password: str, entries: tuple[Domain | Entry, ...]) -> None:
    bus = await NatsBus.connect([url], name="test", user="popauth", password=password)
    try:
        bucket = Bucket(bus, subjects.DIRECTORY)
        for entry in entries:
            await bucket.put(*_keyed(entry))
    finally:
        await bus.close()


def _keyed(entry: Domain | Entry) -> tuple[str, Value]:
    if isinstance(entry, Domain):
        return domain_key(entry.name), domain_value(entry)
    return account_key(parse_address(entry.address)), entry_value(entry)
