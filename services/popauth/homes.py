"""Where an account's mail lies below the mail root. Pure.

A home is chosen once, when the account is made, and stands in its record from then on: what is
here may change, homes that exist do not move.
"""

import zlib

from tubepost.address import Address
from tubepost.keyed import quoted


def home_of(address: Address, life: int = 0) -> str:
    """256 folders of domains, the domain, 256 folders of names, the name in file-safe form.

    `life`: tells it from the home of an account that had the name before; no name has a dot in it.
    """
    name = quoted(address.local)
    last = f"{name}.{life}" if life else name
    return f"{_hashed(address.domain)}/{address.domain}/{_hashed(name)}/{last}"


def first_homes(address: Address) -> str:
    """Where accounts had their mail before there was `home_of`."""
    name = quoted(address.local)
    return f"{address.domain}/{_hashed(name)}/{name}"


def _hashed(text: str) -> str:
    return f"{zlib.crc32(text.encode()) & 0xFF:02x}"
