"""Delivers one mail to its local recipients: account -> Maildir."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.local import maildir, trouble
from services.local.maildir import Parcel
from services.local.writer import Writer
from tubepost.address import AddressError, parse_address
from tubepost.delivery import Mail
from tubepost.errors import Unavailable
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.resolution import (
    NO_MAILBOX,
    Action,
    Discard,
    Forward,
    Post,
    Refuse,
    Resolution,
    Store,
    Wait,
)
from tubepost.resolver import Resolver
from tubepost.trace_headers import delivered_to, has_delivered_to, return_path


class LocalCourier:
    """A delivery.Courier. `root`: the mail root, an existing folder."""

    def __init__(self, resolver: Resolver, root: Path, writer: Writer) -> None:
        self._resolver, self._root, self._writer = resolver, root, writer

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient."""
        outcomes = await asyncio.gather(*(self._deliver_to(mail, a) for a in mail.recipients))
        return dict(zip(mail.recipients, outcomes, strict=True))

    async def _deliver_to(self, mail: Mail, recipient: str) -> Outcome:
        try:
            resolution = await self._resolver.resolve(parse_address(recipient, utf8=True))
        except Unavailable:
            return Deferred(text="Unable to look up the mailbox now. (#4.3.0)", status="4.3.0")
        except AddressError:
            return Failed(text=NO_MAILBOX, status="5.1.1")
        if has_delivered_to(mail.body, resolution.address):
            text = "This message is looping: it already has my Delivered-To line. (#5.4.6)"
            return Failed(text=text, status="5.4.6")
        outcomes = [await self._run(mail, resolution, action) for action in resolution.actions]
        return outcomes[0]

    async def _run(self, mail: Mail, resolution: Resolution, action: Action) -> Outcome:
        match action:
            case Store():
                home = self._root / action.account.home / "Maildir"
                return await self._write(mail, home, resolution.address)
            case Discard():
                return Delivered(text="did_0+0+0/")
            case Refuse():
                return Failed(text=action.text, status=action.status)
            case Wait():
                return Deferred(text=action.text, status=action.status)
            case Forward() | Post():
                return Deferred(text="Unable to forward it now. (#4.3.0)", status="4.3.0")

    async def _write(self, mail: Mail, folder: Path, address: str) -> Outcome:
        content = stored_form(return_path(mail.sender) + delivered_to(address) + mail.body)
        name = maildir.file_name(mail.created, mail.key.mail_id, mail.key.unit, content)
        error = await self._writer.put(Parcel(folder, name, content, mail.suspect))
        if error is None:
            return Delivered(text="did_1+0+0/")
        return trouble.deferral(error, self._root)


def stored_form(body: bytes) -> bytes:
    """LF line ends, and one at the end: what mail readers expect in a Maildir."""
    text = body.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"
