"""smtpd's resources under /v1: giving it a mail over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from services.smtpd.intake import Intake, Source
from tubepost import dsn, smtp_values, verp
from tubepost.address import parse_address
from tubepost.admin import protected
from tubepost.control import Control
from tubepost.errors import BadInput
from tubepost.record import Envelope, Wish


def router(intake: Intake, control: Control) -> APIRouter:
    """POST /v1/messages."""
    routes = protected()

    @routes.post("/messages", status_code=202)
    async def send(
        request: Request,
        sender: str,
        recipient: Annotated[list[str], Query(min_length=1)],
        notify: str = "",
        ret: str = "",
        envid: str = "",
    ) -> dict[str, str]:
        """Takes the mail in the body (message/rfc822) for the recipients. Its queue id.

        `notify`, for all of them, `ret` and `envid` (plain text) as at SMTP (RFC 3461).
        """
        recipients = tuple(str(parse_address(text)) for text in recipient)
        wish = Wish(dsn.parse_notify(notify)) if notify else None
        envelope = Envelope(
            verp.parse_sender(sender) if sender else "",
            recipients,
            dict.fromkeys(recipients, wish) if wish else {},
            ret=dsn.parse_ret(ret) if ret else "",
            envid=dsn.parse_envid(dsn.encoded(envid)) if envid else "",
        )
        body = wire_form(await request.body())
        limit = control.get(smtp_values.DATABYTES)
        if limit and len(body) > limit:
            raise BadInput(f"the mail has {len(body)} octets, databytes allows {limit}")
        client = request.client.host if request.client else "unknown"
        source = Source("http", client, "", "admin", "HTTP")
        return {"id": (await intake.accept(envelope, body, source)).mail_id}

    return routes


def wire_form(text: bytes) -> bytes:
    """A mail from a file with CRLF line ends. Raises BadInput for a CR that ends no line."""
    unix = text.replace(b"\r\n", b"\n")
    if b"\r" in unix:
        raise BadInput("the mail has a CR that ends no line")
    if not unix:
        raise BadInput("the mail is empty")
    return unix.replace(b"\n", b"\r\n")
