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
from services.local.maildir import Parcel
from services.local.quotas import Quotas
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
    Wait,
)
from tubepost.resolver import Resolver
from tubepost.trace_headers import delivered_to, has_delivered_to, return_path

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


class LocalCourier:
    """A delivery.Courier. `root`: the mail root, an existing folder."""

    def __init__(
        self, resolver: Resolver, root: Path, writer: Writer, quotas: Quotas | None = None
    ) -> None:
        self._resolver, self._root, self._writer = resolver, root, writer
        self._quotas = quotas

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
                return await self._write(mail, action.account, resolution.address)
            case Discard():
                return Delivered(text="did_0+0+0/")
            case Refuse():
                return Failed(text=action.text, status=action.status)
            case Wait():
                return Deferred(text=action.text, status=action.status)
            case Forward() | Post():
                return Deferred(text="Unable to forward it now. (#4.3.0)", status="4.3.0")

    async def _write(self, mail: Mail, account: Account, address: str) -> Outcome:
        content = stored_form(return_path(mail.sender) + delivered_to(address) + mail.body)
        name = maildir.file_name(mail.created, mail.key.mail_id, mail.key.unit, content)
        if not self._root.is_dir():
            return Deferred(text="The mail root is not there. (#4.3.0)", status="4.3.0")
        parcel = Parcel(self._root / account.home / "Maildir", name, content)
        put = self._quotas.put(account, parcel) if self._quotas else self._writer.put(parcel)
        error = await put
        if error is None:
            return Delivered(text="did_1+0+0/")
        if not isinstance(error, OSError):
            return error
        return Deferred(
            text=f"Unable to write to the mailbox: {os.strerror(error.errno or 0)}. (#4.2.0)",
            status="4.2.0",
        )


def stored_form(body: bytes) -> bytes:
    """LF line ends, and one at the end: what mail readers expect in a Maildir."""
    text = body.replace(b"\r\n", b"\n")
    return text if text.endswith(b"\n") else text + b"\n"
