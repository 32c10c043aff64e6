"""Delivers one mail to its local recipients: account -> Maildir."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from services.local import maildir, trouble
from services.local.branches import did, merged
from services.local.copies import Copies
from services.local.forwarding import LOOPING, Forwarding
from services.local.lists import Lists
from services.local.maildir import Parcel
from services.local.quotas import Quotas
from services.local.writer import Writer
from tubepost import maillog
from tubepost.address import AddressError, parse_address
from tubepost.delivery import Mail
from tubepost.directory_values import Account
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
    ToOwner,
    Wait,
)
from tubepost.resolver import Resolver
from tubepost.trace_headers import MAX_HOPS, delivered_to, delivered_to_in, hops, return_path

TOO_MANY_HOPS = Failed(text="too many hops, this message is looping (#5.4.6)", status="5.4.6")
NO_LOOKUP = Deferred(text="Unable to look up the mailbox now. (#4.3.0)", status="4.3.0")
INTERNAL = Deferred(
    text="Internal error; will try again. (#4.3.0)",
    status="4.3.0",
    kind="server_trouble",
    unasked=True,
)


class LocalCourier:
    """A delivery.Courier. `root`: the mail root, an existing folder."""

    def __init__(
        self,
        resolver: Resolver,
        root: Path,
        writer: Writer,
        forwarding: Forwarding,
        quotas: Quotas | None = None,
    ) -> None:
        self._resolver, self._root, self._writer = resolver, root, writer
        self._forwarding, self._lists, self._quotas = forwarding, Lists(forwarding), quotas

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient."""
        seen = delivered_to_in(mail.body)
        if len(mail.recipients) == 1:
            [only] = mail.recipients
            return {only: await self._deliver_to(mail, only, await self._resolved(only, seen))}
        found = await asyncio.gather(*(self._resolved(a, seen) for a in mail.recipients))
        copies = Copies(found)
        outcomes = await asyncio.gather(
            *(
                self._deliver_to(mail, recipient, each, copies)
                for recipient, each in zip(mail.recipients, found, strict=True)
            )
        )
        return dict(zip(mail.recipients, outcomes, strict=True))

    async def _resolved(self, recipient: str, seen: frozenset[str]) -> Resolution | Outcome:
        try:
            resolution = await self._resolver.resolve(parse_address(recipient, utf8=True))
        except Unavailable:
            return NO_LOOKUP
        except AddressError:
            return Failed(text=NO_MAILBOX, status="5.1.1")
        if seen and not seen.isdisjoint(_names(recipient, resolution.address)):
            return LOOPING
        return resolution

    async def _deliver_to(
        self,
        mail: Mail,
        recipient: str,
        resolution: Resolution | Outcome,
        copies: Copies | None = None,
    ) -> Outcome:
        if not isinstance(resolution, Resolution):
            return resolution
        if len(resolution.actions) == 1 and not mail.done:
            return await self._safely(mail, recipient, resolution, resolution.actions[0], copies)
        done = mail.done.get(recipient, ())
        to_do = [action for action in resolution.actions if action.name not in done]
        outcomes = await asyncio.gather(
            *(self._safely(mail, recipient, resolution, action, copies) for action in to_do)
        )
        return merged([(a.name, o) for a, o in zip(to_do, outcomes, strict=True)])

    async def _safely(
        self,
        mail: Mail,
        recipient: str,
        resolution: Resolution,
        action: Action,
        copies: Copies | None,
    ) -> Outcome:
        """One branch's trouble is not another's, nor another recipient's: those may be done."""
        try:
            if copies and isinstance(action, Store):
                write = partial(self._write, mail, action.account)
                return await copies.once(action.account.home, write)
            return await self._run(mail, recipient, resolution, action)
        except Unavailable:
            return NO_LOOKUP
        except Exception:  # noqa: BLE001 - promise 3: an unknown error is temporary
            maillog.bug(f"{action.name} of {mail.key}")
            return INTERNAL

    async def _run(
        self, mail: Mail, recipient: str, resolution: Resolution, action: Action
    ) -> Outcome:
        match action:
            case Store():
                return await self._write(mail, action.account, resolution.address)
            case Discard():
                return Delivered(text=did())
            case Refuse():
                return Failed(text=action.text, status=action.status)
            case Wait():
                return Deferred(text=action.text, status=action.status)
            case Forward() | Post() | ToOwner():
                return await self._send_on(mail, recipient, resolution, action)

    async def _send_on(
        self, mail: Mail, recipient: str, resolution: Resolution, action: Forward | Post | ToOwner
    ) -> Outcome:
        if hops(mail.body) >= MAX_HOPS:
            return TOO_MANY_HOPS
        match action:
            case Forward():
                return await self._forwarding.forward(mail, recipient, resolution, action)
            case Post():
                return await self._lists.post(mail, recipient, resolution, action.mailing_list)
            case ToOwner():
                return await self._lists.to_owner(mail, recipient, resolution, action.mailing_list)

    async def _write(self, mail: Mail, account: Account, address: str) -> Outcome:
        content = stored_form(return_path(mail.sender) + delivered_to(address) + mail.body)
        name = maildir.file_name(mail.created, mail.key.mail_id, mail.key.unit, content)
        parcel = Parcel(self._root / account.home / "Maildir", name, content, mail.suspect)
        if self._quotas:
            error = await self._quotas.put(account, parcel, again=parcel.suspect)
        else:
            error = await self._writer.put(parcel)
        if error is None:
            return Delivered(text="did_1+0+0/")
        return trouble.deferral(error, self._root) if isinstance(error, OSError) else error


def _names(recipient: str, address: str) -> set[str]:
    """What Delivered-To says where it was here before (VDM-4): as it was addressed, in its
    domain's own name, and both as vpopmail has them for qmail, `domain-joe@domain`.
    """
    public = {recipient.lower(), address.lower()}
    return public | {f"{name.rpartition('@')[2]}-{name}" for name in public}


def stored_form(body: bytes) -> bytes:
    """LF line ends, and one at the end: what mail readers expect in a Maildir."""
    text = body.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"
