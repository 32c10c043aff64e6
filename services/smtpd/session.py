"""An SMTP session: its verbs and their replies. What may be done is policy's to say."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from services.smtpd import commands, home, policy
from services.smtpd.connection import shared_parts
from services.smtpd.listener import Listener
from services.smtpd.opening import NOT_BELIEVED
from services.smtpd.receiving import Receiving
from services.smtpd.refusal import Refusal
from services.smtpd.transaction import Transaction
from tubepost import smtp_values
from tubepost.address import Address, NotAscii, parse_address, printable
from tubepost.errors import BadInput, Unavailable


def sessions(listener: Listener) -> Callable[[], "Session"]:
    """Makes sessions for a listener."""
    loop = asyncio.get_running_loop()
    shared = shared_parts(listener)
    return lambda: Session(listener, shared, loop)


class Session(Receiving):
    """What a client may say, verb by verb."""

    async def smtp_HELO(self, hostname: str | None) -> None:
        self._greet(hostname, extended=False)
        await self.push(f"250 {self.hostname.split()[0]}")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        self._greet(hostname, extended=True)
        offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"]
        codes = self._listener.parts.control.get(smtp_values.ENHANCEDSTATUSCODES)
        if codes:
            offers.append("ENHANCEDSTATUSCODES")
        limit = self._size_limit
        offers.append(f"SIZE {limit}" if limit else "SIZE")
        if self.tls_context and not self._tls_protocol:
            offers.append("STARTTLS")
        offers += self._auth_offers()
        lines = [self.hostname.split()[0], *offers]
        reply = [f"250{'-' if n < len(lines) - 1 else ' '}{text}" for n, text in enumerate(lines)]
        await self.push("\r\n".join(reply))
        self._offered_codes = bool(codes)

    def _greet(self, hostname: str | None, *, extended: bool) -> None:
        self._set_rset_state()
        self._offered_codes = False
        self._client = replace(self._client, helo=printable(hostname or "", 255))
        if self.session:
            self.session.extended_smtp = extended

    async def smtp_MAIL(self, arg: str | None) -> None:
        try:
            path = commands.parse_mail(arg or "")
        except BadInput as error:
            await self.push(_syntax_reply(error))
            return
        given = path.parameters.get
        size = int(given("SIZE", 0))
        refusal = await self._judge_sender(path.address, size)
        if refusal:
            await self._refuse(refusal, sender=path.address)
            return
        self._transaction = Transaction(
            path.address,
            given("RET", ""),
            given("ENVID", ""),
            size=size,
            smtputf8="SMTPUTF8" in path.parameters,
        )
        self._listener.parts.meter.mail_began(self._client)
        await self.push("250 ok", "2.1.0")

    async def _judge_sender(self, sender: str, size: int) -> Refusal | None:
        gather = self._listener.parts.gather
        try:
            facts = await gather.about_mail(
                self._client, sender, size=size, size_limit=self._size_limit
            )
        except Unavailable:
            return Refusal("unavailable", "451 unable to check this sender now (#4.3.0)")
        return policy.refusal(policy.MAIL, facts)

    async def smtp_RCPT(self, arg: str | None) -> None:
        transaction = self._transaction
        if transaction is None:
            await self.push("503 MAIL first (#5.5.1)")
            return
        try:
            path = commands.parse_rcpt(arg or "", utf8=transaction.smtputf8)
        except BadInput as error:
            await self.push(_syntax_reply(error))
            return
        postmaster = path.address == commands.POSTMASTER
        path = home.resolved(path, self._listener.parts.control)
        recipient = parse_address(path.address, utf8=transaction.smtputf8)
        refusal = await self._judge(transaction, recipient, postmaster=postmaster)
        if refusal:
            await self._refuse(refusal, sender=transaction.sender, recipient=path.address)
            return
        transaction.add(path)
        self._tally.recipients += 1
        await self._hold_back()
        await self.push("250 ok", "2.1.5")

    async def _judge(
        self, transaction: Transaction, recipient: Address, *, postmaster: bool
    ) -> Refusal | None:
        try:
            facts = await self._listener.parts.gather.about_recipient(
                self._client, transaction, recipient, postmaster=postmaster
            )
            refusal = policy.refusal(policy.RCPT, facts)
            if refusal is None and self._findings:
                refusal = await self._findings.refusal(facts)
        except Unavailable:
            return Refusal("unavailable", "451 unable to check this recipient now (#4.3.0)")
        self._listener.parts.meter.recipient_judged(facts, refusal)
        if refusal is None:
            transaction.relay_user = facts.relay_user or transaction.relay_user
        return refusal

    async def smtp_RSET(self, arg: str | None) -> None:
        self._set_rset_state()
        await self.push("250 flushed")

    async def smtp_NOOP(self, arg: str | None) -> None:
        await self.push("250 ok")

    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 Tubepost: see RFC 5321")

    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push("252 send some mail, i'll try my best")

    async def smtp_EXPN(self, arg: str | None) -> None:
        await self.push("502 unimplemented (#5.5.1)")

    async def smtp_QUIT(self, arg: str | None) -> None:
        await self.push(f"221 {self.hostname.split()[0]}")
        self._hang_up()

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        if self._tls_protocol is not None:
            await self.push("503 TLS has begun already (#5.5.1)")
            return
        if self._said_all:
            self._hang_up()  # who has ended its side will never begin TLS
            return
        await super().smtp_STARTTLS(arg or "")
        self._client = replace(self._client, helo="", user="")  # RFC 3207 4.2: said in the clear

    async def smtp_PROXY(self, arg: str | None) -> None:
        """Not from here: the header of a balancer that we believe was read before the greeting."""
        await self._refuse(NOT_BELIEVED)


Session.verbs = {
    "AUTH": Session.smtp_AUTH,
    "DATA": Session.smtp_DATA,
    "EHLO": Session.smtp_EHLO,
    "EXPN": Session.smtp_EXPN,
    "HELO": Session.smtp_HELO,
    "HELP": Session.smtp_HELP,
    "MAIL": Session.smtp_MAIL,
    "NOOP": Session.smtp_NOOP,
    "PROXY": Session.smtp_PROXY,
    "QUIT": Session.smtp_QUIT,
    "RCPT": Session.smtp_RCPT,
    "RSET": Session.smtp_RSET,
    "STARTTLS": Session.smtp_STARTTLS,
    "VRFY": Session.smtp_VRFY,
    "\0": Session.smtp_PROXY,  # the third line of a binary header
}


def _syntax_reply(error: BadInput) -> str:
    if isinstance(error, NotAscii):
        return f"553 {error} (#5.6.7)"
    if isinstance(error, commands.UnknownParameter):
        return f"555 syntax error: {error} (#5.5.4)"
    return f"501 syntax error: {error} (#5.5.4)"
