"""Delivers one mail to its local recipients: account -> Maildir. Batches the disk work.

While one batch is being written, the next one gathers: under load many mails share a batch, and a
lone mail never waits.
"""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from services.local import maildir
from services.local.branches import did, merged
from services.local.forwarding import LOOPING, Forwarding
from services.local.lists import Lists
from services.local.maildir import Parcel
from tubepost import maillog
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
    ToOwner,
    Wait,
)
from tubepost.resolver import Resolver
from tubepost.trace_headers import MAX_HOPS, delivered_to, delivered_to_in, hops, return_path

BATCH = 64


@dataclass(slots=True)
class _Waiting:
    parcel: Parcel
    done: "asyncio.Future[OSError | None]"


class Writer:
    """Gathers parcels into batches. `run` writes them, for ever."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="maildir")

    async def put(self, parcel: Parcel) -> OSError | None:
        """Returns when the parcel is durably in its Maildir, or what stopped it."""
        waiting = _Waiting(parcel, asyncio.get_running_loop().create_future())
        self._waiting.put_nowait(waiting)
        return await waiting.done

    async def run(self) -> None:
        """Writes batch after batch."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            results = await loop.run_in_executor(
                self._thread, maildir.deliver, [w.parcel for w in batch]
            )
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result(result)


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
        self, resolver: Resolver, root: Path, writer: Writer, forwarding: Forwarding
    ) -> None:
        self._resolver, self._root, self._writer = resolver, root, writer
        self._forwarding, self._lists = forwarding, Lists(forwarding)

    async def deliver(self, mail: Mail) -> Mapping[str, Outcome]:
        """One outcome for each recipient."""
        seen = delivered_to_in(mail.body)
        outcomes = await asyncio.gather(*(self._deliver_to(mail, a, seen) for a in mail.recipients))
        return dict(zip(mail.recipients, outcomes, strict=True))

    async def _deliver_to(self, mail: Mail, recipient: str, seen: frozenset[str]) -> Outcome:
        try:
            resolution = await self._resolver.resolve(parse_address(recipient, utf8=True))
        except Unavailable:
            return NO_LOOKUP
        except AddressError:
            return Failed(text=NO_MAILBOX, status="5.1.1")
        if seen and not seen.isdisjoint(_names(recipient, resolution.address)):
            return LOOPING
        if len(resolution.actions) == 1 and not mail.done:
            return await self._safely(mail, recipient, resolution, resolution.actions[0])
        done = mail.done.get(recipient, ())
        to_do = [action for action in resolution.actions if action.name not in done]
        outcomes = await asyncio.gather(
            *(self._safely(mail, recipient, resolution, action) for action in to_do)
        )
        return merged([(a.name, o) for a, o in zip(to_do, outcomes, strict=True)])

    async def _safely(
        self, mail: Mail, recipient: str, resolution: Resolution, action: Action
    ) -> Outcome:
        """One branch's trouble is not another's, nor another recipient's: those may be done."""
        try:
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
                home = self._root / action.account.home / "Maildir"
                return await self._write(mail, home, resolution.address)
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

    async def _write(self, mail: Mail, folder: Path, address: str) -> Outcome:
        content = stored_form(return_path(mail.sender) + delivered_to(address) + mail.body)
        name = maildir.file_name(mail.created, mail.key.mail_id, mail.key.unit, content)
        if not self._root.is_dir():
            return Deferred(text="The mail root is not there. (#4.3.0)", status="4.3.0")
        error = await self._writer.put(Parcel(folder, name, content))
        if error is None:
            return Delivered(text="did_1+0+0/")
        return Deferred(
            text=f"Unable to write to the mailbox: {os.strerror(error.errno or 0)}. (#4.2.0)",
            status="4.2.0",
        )


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
