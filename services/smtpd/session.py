"""An SMTP session: its verbs, their replies, DATA and AUTH. What may be done is policy's to say."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

from services.smtpd import authenticate, commands, policy
from services.smtpd.connection import READ_LIMIT, Connection, shared_parts
from services.smtpd.data import DataReader
from services.smtpd.facts import DataFacts, MailFacts
from services.smtpd.intake import Source
from services.smtpd.listener import Listener
from services.smtpd.refusal import Refusal
from services.smtpd.transaction import Transaction
from tubepost import smtp_values
from tubepost.address import Address, parse_address, printable
from tubepost.errors import BadInput, StoreFull, Unavailable
from tubepost.trace_headers import hops

MAX_AUTH_FAILURES = 3


def sessions(listener: Listener) -> Callable[[], "Session"]:
    """Makes sessions for a listener."""
    loop = asyncio.get_running_loop()
    shared = shared_parts(listener)
    return lambda: Session(listener, shared, loop)


class Session(Connection):
    """What a client may say, verb by verb."""

    _transaction: Transaction | None = None
    _auth_failures = 0

    def _set_rset_state(self) -> None:
        """Called by aiosmtpd where the protocol resets a session (RFC 3207 4.2, RFC 5321 4.1.4)."""
        self._transaction = None

    async def smtp_HELO(self, hostname: str | None) -> None:
        self._greet(hostname, extended=False)
        await self.push(f"250 {self.hostname.split()[0]}")

    async def smtp_EHLO(self, hostname: str | None) -> None:
        self._greet(hostname, extended=True)
        offers = ["PIPELINING", "8BITMIME", "DSN"]
        limit = self._size_limit
        offers.append(f"SIZE {limit}" if limit else "SIZE")
        if self.tls_context and not self._tls_protocol:
            offers.append("STARTTLS")
        if self._offers_auth:
            offers.append("AUTH " + " ".join(authenticate.MECHANISMS))
        lines = [self.hostname.split()[0], *offers]
        reply = [f"250{'-' if n < len(lines) - 1 else ' '}{text}" for n, text in enumerate(lines)]
        await self.push("\r\n".join(reply))

    def _greet(self, hostname: str | None, *, extended: bool) -> None:
        self._set_rset_state()
        self._client = replace(self._client, helo=printable(hostname or "", 255))
        if self.session:
            self.session.extended_smtp = extended

    @property
    def _extended(self) -> bool:
        return bool(self.session and self.session.extended_smtp)

    @property
    def _offers_auth(self) -> bool:
        return self._listener.kind.auth_required and self._tls_protocol is not None

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
        facts = MailFacts(
            client=self._client,
            sender=path.address,
            size=int(given("SIZE", 0)),
            size_limit=self._size_limit,
        )
        refusal = policy.refusal(policy.MAIL, facts)
        if refusal:
            await self._refuse(refusal, sender=path.address)
            return
        self._transaction = Transaction(path.address, given("RET", ""), given("ENVID", ""))
        await self.push("250 ok")

    async def smtp_RCPT(self, arg: str | None) -> None:
        transaction = self._transaction
        if transaction is None:
            await self.push("503 MAIL first (#5.5.1)")
            return
        try:
            path = commands.parse_rcpt(arg or "")
        except BadInput as error:
            await self.push(_syntax_reply(error))
            return
        refusal = await self._judge(transaction, parse_address(path.address))
        if refusal:
            await self._refuse(refusal, sender=transaction.sender, recipient=path.address)
            return
        transaction.add(path)
        await self.push("250 ok")

    async def _judge(self, transaction: Transaction, recipient: Address) -> Refusal | None:
        try:
            facts = await self._listener.parts.gather.about_recipient(
                self._client,
                transaction.sender,
                recipient,
                accepted_so_far=len(transaction.recipients),
            )
            refusal = policy.refusal(policy.RCPT, facts)
            if refusal is None and self._findings:
                refusal = await self._findings.refusal(facts)
        except Unavailable:
            return Refusal("unavailable", "451 unable to check this recipient now (#4.3.0)")
        if refusal is None:
            transaction.relay_user = facts.relay_user or transaction.relay_user
        return refusal

    async def smtp_DATA(self, arg: str | None) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            await self.push("503 RCPT first (#5.5.1)")
            return
        await self.push("354 go ahead")
        self._in_data = True
        try:
            data = await self._read_data()
            self._stop_timeout()  # the client waits for us now, not we for it
            body = data.body()
            facts = DataFacts(
                client=self._client,
                sender=transaction.sender,
                too_big=data.too_big,
                bare_line_ends=data.has_bare_line_ends,
                hops=hops(body),
            )
            refusal = policy.refusal(policy.DATA, facts)
            reply = "" if refusal else await self._take(transaction, body)
            self._reset_timeout()
        finally:
            self._in_data = False
        self._set_rset_state()
        if refusal:
            await self._refuse(refusal, sender=facts.sender)
        else:
            await self.push(reply)
        if self._listener.draining:
            self.say_goodbye()

    async def _read_data(self) -> DataReader:
        data = DataReader(self._size_limit)
        while True:
            block = await self._reader.read(READ_LIMIT)
            if not block:
                raise asyncio.CancelledError  # no end of the mail, so no mail
            self._reset_timeout()
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
        return f"250 ok {done.now} qp {done.mail_id}"

    def _source(self, transaction: Transaction) -> Source:
        protocol = "SMTP"
        if self._extended:
            tls, auth = self._tls_protocol is not None, bool(self._client.user)
            protocol = "ESMTP" + ("S" if tls else "") + ("A" if auth else "")
        return Source(
            name=self._listener.name,
            client=self._client.ip,
            helo=self._client.helo,
            user=self._client.user or transaction.relay_user,
            protocol=protocol,
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
        await super().smtp_STARTTLS(arg or "")

    async def smtp_AUTH(self, arg: str | None) -> None:
        words = (arg or "").split()
        refusal = self._auth_refusal(words)
        if refusal:
            await self.push(refusal)
            return
        initial = words[1] if len(words) == 2 else None
        try:
            user, password = await authenticate.credentials(
                words[0].upper(), initial, self._challenge
            )
            account = await authenticate.check(
                self._listener.parts.bus, user, password, self._client.ip
            )
        except BadInput as error:
            await self.push(_auth_error_reply(error))
        except Unavailable:
            await self.push("454 oops, unable to check your password now (#4.3.0)")
        else:
            await self._auth_done(account)

    def _auth_refusal(self, words: list[str]) -> str | None:
        if not self._listener.kind.auth_required:
            return "503 auth not available (#5.3.3)"
        if not self._tls_protocol:
            return "538 auth not available without TLS (#5.3.3)"
        if self._client.user:
            return "503 you're already authenticated (#5.5.0)"
        if self._transaction is not None:
            return "503 no auth during mail transaction (#5.5.0)"
        if len(words) not in (1, 2):
            return "501 malformed auth input (#5.5.4)"
        return None

    async def _auth_done(self, account: str | None) -> None:
        if account:
            self._client = replace(self._client, user=account)
            await self.push("235 ok, go ahead (#2.0.0)")
            return
        self._auth_failures += 1
        await self.push("535 authentication failed (#5.7.8)")
        if self._auth_failures >= MAX_AUTH_FAILURES:
            self._hang_up()

    async def _challenge(self, octets: bytes) -> str:
        await self.push("334 " + b64encode(octets).decode())
        line = await self._line()
        self._reset_timeout()
        return line.decode("latin-1").strip()


Session.verbs = {
    "AUTH": Session.smtp_AUTH,
    "DATA": Session.smtp_DATA,
    "EHLO": Session.smtp_EHLO,
    "EXPN": Session.smtp_EXPN,
    "HELO": Session.smtp_HELO,
    "HELP": Session.smtp_HELP,
    "MAIL": Session.smtp_MAIL,
    "NOOP": Session.smtp_NOOP,
    "QUIT": Session.smtp_QUIT,
    "RCPT": Session.smtp_RCPT,
    "RSET": Session.smtp_RSET,
    "STARTTLS": Session.smtp_STARTTLS,
    "VRFY": Session.smtp_VRFY,
}


def _syntax_reply(error: BadInput) -> str:
    if isinstance(error, commands.UnknownParameter):
        return f"555 syntax error: {error} (#5.5.4)"
    return f"501 syntax error: {error} (#5.5.4)"


def _auth_error_reply(error: BadInput) -> str:
    if isinstance(error, authenticate.Cancelled):
        return "501 auth exchange canceled (#5.0.0)"
    if isinstance(error, authenticate.UnknownMechanism):
        return "504 auth type unimplemented (#5.5.1)"
    return "501 malformed auth input (#5.5.4)"
