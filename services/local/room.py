"""How much an account and its domain hold, for smtpd, which asks before it takes one more mail.

What is booked is answered (tubepost/bookings.py): no Maildir is walked for it but where there is no
quota, or no count that can be believed.
"""

import json
from pathlib import Path

from services.local.quotas import Quotas
from tubepost.address import parse_address
from tubepost.directory import Directory
from tubepost.errors import BadInput, Unavailable
from tubepost.quota import Used


class Room:
    """Answers `quota.room`."""

    def __init__(self, directory: Directory, mail_root: Path, quotas: Quotas) -> None:
        self._directory, self._root, self._quotas = directory, mail_root, quotas

    async def answer(self, _subject: str, data: bytes) -> bytes:
        """Address -> {used, mails, domain: {used, mails}}, `used` in octets.

        No `domain` where that has no quota, or has not been counted yet; {} where it cannot be told
        now.
        """
        try:
            account = await self._directory.account(parse_address(data.decode()))
            if account is None:
                return json.dumps(_of(Used())).encode()
            self._root.stat()  # one that is not mounted is no empty one
            used, of_domain = await self._quotas.used(account)
        except (OSError, Unavailable, BadInput):
            return b"{}"
        more = {"domain": _of(of_domain)} if of_domain else {}
        return json.dumps({**_of(used), **more}).encode()


def _of(used: Used) -> dict[str, int]:
    return {"used": used.octets, "mails": used.mails}
