"""smtpd's resources under /v1: giving it a mail over HTTP."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, ValidationError

from services.smtpd.composed import NewMail, composed
from services.smtpd.intake import Intake, Source
from tubepost import dsn, smtp_values, verp
from tubepost.address import Address, parse_address
from tubepost.address_list import addresses
from tubepost.admin import protected
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.errors import BadInput
from tubepost.inject import Author, Injected, injected
from tubepost.mail_header import unix_form
from tubepost.record import Envelope, Wish
from tubepost.resolution import Refuse
from tubepost.resolver import Resolver
from tubepost.trace_headers import MAX_HOPS, hops

_BODIES = {
    "required": True,
    "content": {
        "message/rfc822": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": NewMail.model_json_schema()},
    },
}


_SLACK = 65_536


class Queued(BaseModel):
    """The mail is durably in the queue. `id`: what it is called there."""

    id: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """`notify`, for all recipients, `ret` and `envid` (plain text) as at SMTP (RFC 3461)."""

    notify: str = ""
    ret: str = ""
    envid: str = ""


class Door:
    """Where mails come in over HTTP."""

    def __init__(self, intake: Intake, control: Control, directory: Directory) -> None:
        self._intake, self._control, self._directory = intake, control, directory
        self._resolver = Resolver(directory, control)

    async def take(self, envelope: Envelope, text: bytes, client: str) -> Queued:
        """Raises BadInput, Unavailable, StoreFull: not taken."""
        body = text.replace(b"\n", b"\r\n")
        limit = self._control.get(smtp_values.DATABYTES)
        if limit and len(body) > limit:
            raise BadInput(f"the mail has {len(body)} octets, databytes allows {limit}")
        await self._check(envelope.recipients)
        source = Source("http", client, "", "admin", "HTTP")
        return Queued(id=(await self._intake.accept(envelope, body, source)).mail_id)

    async def body(self, request: Request) -> bytes:
        """What was sent, unless it is more than any mail: base64 and JSON may double one."""
        limit = self._control.get(smtp_values.DATABYTES)
        found = bytearray()
        async for block in request.stream():
            found += block
            if limit and len(found) > 2 * limit + _SLACK:
                raise HTTPException(413, f"that is too much: databytes allows {limit} octets")
        return bytes(found)

    def judged(self, raw: bytes) -> bytes:
        """With LF line ends. Raises BadInput for a header that smtpd would refuse, too."""
        text, limit = unix_form(raw), self._control.get(smtp_values.MAXHEADER)
        header, end, _ = (b"\n" + text[: limit + 1]).partition(b"\n\n")
        if len(text) > limit and not end:
            raise BadInput(f"the header has more octets than the {limit} that maxheader allows")
        if hops(header[1:].replace(b"\n", b"\r\n")) >= MAX_HOPS:
            raise BadInput("too many hops, this mail is looping")
        return text

    def completed(self, raw: bytes, sender: str) -> Injected:
        """The mail as `sendmail -t` would send it."""
        host = self._control.me
        who = parse_address(verp.owner(sender)) if sender else Address("postmaster", host)
        mark = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.{secrets.token_hex(8)}.tubepost"
        return injected(raw, Author(who, "", host), now=time.time(), mark=mark)

    async def _check(self, recipients: Iterable[str]) -> None:
        """Whom a mailbox of ours would be needed for has one; else nobody gets the mail."""
        for text in recipients:
            address = parse_address(text, utf8=True)
            if address.domain not in self._directory.domains:
                continue
            for action in (await self._resolver.resolve(address)).actions:
                if isinstance(action, Refuse):
                    raise BadInput(f"{text}: {action.text}")


def router(intake: Intake, control: Control, directory: Directory) -> APIRouter:
    """POST /v1/messages."""
    routes, door = protected(), Door(intake, control, directory)

    @routes.post("/messages", status_code=202, openapi_extra={"requestBody": _BODIES})
    async def send(
        request: Request,
        wishes: Annotated[Wishes, Depends()],
        sender: str | None = None,
        recipient: Annotated[Sequence[str], Query()] = (),
        extract: bool = False,
    ) -> Queued:
        """Puts a mail into the queue: as it is (message/rfc822), or made from its parts (JSON).

        `extract`: the header says who gets it besides, and is completed, as by `sendmail -t`.
        """
        raw = await door.body(request)
        is_json = request.headers.get("content-type", "").partition(";")[0] == "application/json"
        if is_json:
            new = await asyncio.to_thread(_parsed, raw)
            raw, extract = await asyncio.to_thread(composed, new), True
            sender = _sender_of(new) if sender is None else sender
        if sender is None:
            raise BadInput("query.sender: say who gets bounces; empty = nobody")
        sender = verp.parse_sender(sender) if sender else ""
        to = [parse_address(each, utf8=True) for each in recipient]
        text = door.judged(raw)
        if extract:
            mail = await asyncio.to_thread(door.completed, text, sender)
        else:
            mail = Injected(text, ())
        to += [parse_address(each, utf8=True) for each in mail.recipients]
        client = request.client.host if request.client else "unknown"
        return await door.take(_envelope(sender, to, wishes), mail.text, client)

    return routes


def _envelope(sender: str, to: Iterable[Address], wishes: Wishes) -> Envelope:
    """Each recipient once; two that differ by case may be two, at other hosts."""
    recipients = tuple(dict.fromkeys(map(str, to)))
    if not recipients:
        raise BadInput(
            "no recipients: give `recipient`, or `extract` with a header that names some"
        )
    wish = Wish(dsn.parse_notify(wishes.notify)) if wishes.notify else None
    return Envelope(
        sender,
        recipients,
        dict.fromkeys(recipients, wish) if wish else {},
        ret=dsn.parse_ret(wishes.ret) if wishes.ret else "",
        envid=dsn.parse_envid(dsn.encoded(wishes.envid)) if wishes.envid else "",
        smtputf8=not all(text.isascii() for text in (sender, *recipients)),
    )


def _parsed(raw: bytes) -> NewMail:
    try:
        return NewMail.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"{where}: {first['msg']}") from error


def _sender_of(new: NewMail) -> str:
    if new.sender is not None:
        return new.sender
    found = addresses(new.author, "localhost")
    if len(found) != 1:
        raise BadInput("from: give one address")
    return str(found[0])
