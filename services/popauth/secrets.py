"""Passwords kept so that they can be read again, for the accounts that asked for it: CRAM-MD5
needs them (AUTH-6, RFC 2195).

They stand in a bucket of their own, which no mirror follows and only popauth may read. A secret
holds only beside the hash it was stored with: whatever else changes the password, or makes the
account again, ends it, even where the bus went away between the two writes.
"""

import hmac

from tubepost import subjects
from tubepost.address import AddressError, parse_address
from tubepost.directory_values import Account, account_key
from tubepost.keyed import Bucket
from tubepost.ports import Bus

_NOBODY = "account.nobody"
"""Read where the name is no address: that answer takes as long as another's."""


class Secrets:
    """Raises Unavailable."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.SECRETS)

    async def keep(self, account: Account, password: str) -> None:
        """`account`: with the hash of that password."""
        value = {"secret": password, "beside": account.password}
        await self._bucket.put(_key(account.address), value)

    async def forget(self, account: Account) -> None:
        """A no-op where nothing is kept, as for nearly every account."""
        if await self._bucket.get(_key(account.address), leader=True):
            await self._bucket.put(_key(account.address), None)

    async def proves(self, account: Account | None, user: str, challenge: str, digest: str) -> bool:
        """Whether `digest` is the answer of `account` to `challenge`.

        `user`: as the client wrote it. Without an account or a secret the same is read and worked
        out, so that the time tells nothing.
        """
        found = await self._bucket.get(_key(account.address if account else user), leader=True)
        value = found[0] if found else {}
        holds = account is not None and value.get("beside") == account.password
        key = str(value["secret"]) if holds else ""
        right = hmac.new(key.encode(), challenge.encode(), "md5").hexdigest()
        return hmac.compare_digest(right.encode(), digest.lower().encode()) and holds


def _key(name: str) -> str:
    try:
        return account_key(parse_address(name))
    except AddressError:
        return _NOBODY
