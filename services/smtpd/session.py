"""An SMTP session: its verbs, their replies, DATA. What may be done is policy's to say."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from services.smtpd import commands, home, policy
from services.smtpd.budget import Share
from services.smtpd.connection import READ_LIMIT, shared_parts
from services.smtpd.content import has_big_header, has_long_line, has_nul
from services.smtpd.data import DataReader
from services.smtpd.facts import DataFacts
from services.smtpd.intake import Source
from services.smtpd.listener import Listener
from services.smtpd.login import LoginConnection
from services.smtpd.opening import NOT_BELIEVED
from services.smtpd.pace import Tally
from services.smtpd.refusal import Refusal
from services.smtpd.transaction import Transaction
from tubepost import smtp_values
from tubepost.address import Address, NotAscii, parse_address, printable
from tubepost.certificates import described
from tubepost.errors import BadInput, StoreFull, Unavailable
from tubepost.trace_headers import hops


def sessions(listener: Listener) -> Callable[[], "Session"]:
    """Makes sessions for a listener."""
    loop = asyncio.get_running_loop()
    shared = shared_parts(listener)
    return lambda: Session(listener, shared, loop)


class Session(LoginConnection):
    """What a client may say, verb by verb."""

    def push(  # type: ignore[override]
        self, status: str, *code: str
    ) -> Coroutine[Any, Any, None]:
        """Says a reply. Only a 5xx costs more than that."""
        push = super().push
        return self._say_error(push, status, *code) if status[0] == "5" else push(status, *code)

    def _set_rset_state(self) -> None:
        """Called by aiosmtpd where the protocol resets a session (RFC 3207 4.2, RFC 5321 4.1.4)."""
        self._transaction = None

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

    @property
    def _extended(self) -> bool:
        return bool(self.session and self.session.extended_smtp)

    @property
    def _size_limit(self) -> int:
        of_rule = self._client.rule.variables.get("DATABYTES", "")
        if of_rule.isdecimal():
            return int(of_rule)
        return self._listener.parts.control.get(smtp_values.DATABYTES)

    async def smtp_MAIL(self, arg: str | None) -> None:
        try:
            path = commands.parse_mail(arg or "")
        except BadInput as error:
            await self.push(_syntax_reply(error))
            return
        given = path.parameters.get
        facts = self._listener.parts.gather.about_mail(
            self._client,
            path.address,
            size=int(given("SIZE", 0)),
            size_limit=self._size_limit,
        )
        refusal = policy.refusal(policy.MAIL, facts)
        if refusal:
            await self._refuse(refusal, sender=path.address)
            return
        self._transaction = Transaction(
            path.address,
            given("RET", ""),
            given("ENVID", ""),
            size=facts.size,
            smtputf8="SMTPUTF8" in path.parameters,
        )
        self._listener.parts.meter.mail_began(self._client)
        await self.push("250 ok", "2.1.0")

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

    async def smtp_DATA(self, arg: str | None) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            await self.push("503 RCPT first (#5.5.1)")
            return
        if arg:
            await self.push("501 DATA takes no argument (#5.5.4)")
            return
        await self.push("354 go ahead")
        self._in_data = True
        share = self._listener.parts.memory.share()
        try:
            data = await self._read_data(share)
            self._stop_timeout()  # the client waits for us now, not we for it
            bare_line_ends = data.has_bare_line_ends
            body = data.body()
            big_header = has_big_header(body, self._setting(smtp_values.MAXHEADER))
            facts = DataFacts(
                client=self._client,
                sender=transaction.sender,
                too_big=data.too_big,
                bare_line_ends=bare_line_ends,
                hops=0 if big_header else hops(body),
                no_room=data.no_room,
                nul=has_nul(body),
                long_line=has_long_line(body, self._setting(smtp_values.MAXLINE)),
                big_header=big_header,
            )
            refusal = policy.refusal(policy.DATA, facts)
            reply = "" if refusal else await self._take(transaction, body)
            self._reset_timeout()
        finally:
            self._in_data = False
            share.release()
        del data, body  # the share no longer counts them
        self._set_rset_state()
        if refusal:
            await self._refuse(refusal, sender=facts.sender)
        else:
            await self.push(reply)
        if self._listener.draining:
            self.say_goodbye()

    async def _read_data(self, share: Share) -> DataReader:
        data = DataReader(self._size_limit, share)
        self._await_data(0)
        while True:
            block = await self._reader.read(READ_LIMIT)
            if not block:
                raise asyncio.CancelledError  # no end of the mail, so no mail
            self._await_data(len(block))
            rest = data.feed(block)
            if rest is not None:
                self._unread(rest)
                return data

    async def _take(self, transaction: Transaction, body: bytes) -> str:
        """Into the queue; the reply."""
        source = self._source(transaction)
        if self._findings:
            source = replace(source, host=await self._findings.shown_name())
        try:
            done = await self._listener.parts.intake.accept(transaction.envelope, body, source)
        except StoreFull:
            return "452 queue is full, try again later (#4.3.1)"
        except Unavailable:
            return "451 qqt failure (#4.3.0)"
        self._tally = Tally()
        return f"250 ok {done.now} qp {done.mail_id}"

    def _source(self, transaction: Transaction) -> Source:
        protocol = "SMTP"
        if self._extended:
            tls, auth = self._tls_protocol is not None, bool(self._client.user)
            protocol = "UTF8SMTP" if transaction.smtputf8 else "ESMTP"  # RFC 6531 4.3
            protocol += ("S" if tls else "") + ("A" if auth else "")
        return Source(
            name=self._listener.name,
            client=self._client.ip,
            helo=self._client.helo,
            user=self._client.user or transaction.relay_user,
            protocol=protocol,
            tls=described(self.transport),
            submitted=self._listener.kind.auth_required,
        )

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
