"""DATA: a mail is read, judged and put into the queue, and only then answered with 250.

How it is read stands in data.py, what is looked for in it in content.py.
"""

import asyncio
from dataclasses import replace

from services.smtpd import policy
from services.smtpd.budget import Share
from services.smtpd.connection import READ_LIMIT
from services.smtpd.data import DataReader
from services.smtpd.intake import Source
from services.smtpd.login import LoginConnection
from services.smtpd.pace import Tally
from services.smtpd.refusal import Refusal
from services.smtpd.transaction import Transaction
from tubepost import smtp_values
from tubepost.certificates import described
from tubepost.errors import StoreFull, Unavailable


class Receiving(LoginConnection):
    """A connection whose client may hand over mails."""

    @property
    def _extended(self) -> bool:
        return bool(self.session and self.session.extended_smtp)

    @property
    def _size_limit(self) -> int:
        of_rule = self._client.rule.variables.get("DATABYTES", "")
        if of_rule.isdecimal():
            return int(of_rule)
        return self._listener.parts.control.get(smtp_values.DATABYTES)

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
            refusal, reply = await self._receive(transaction, share)
            self._reset_timeout()
        finally:
            self._in_data = False
            share.release()
        self._set_rset_state()
        if refusal:
            await self._refuse(refusal, sender=transaction.sender)
        else:
            await self.push(reply)
        if self._listener.draining:
            self.say_goodbye()

    async def _receive(self, transaction: Transaction, share: Share) -> tuple[Refusal | None, str]:
        """Why the mail is not taken; or None, and what became of it as a reply."""
        data = await self._read_data(share)
        self._stop_timeout()  # the client waits for us now, not we for it
        facts, body = self._listener.parts.gather.about_data(self._client, transaction, data)
        refusal = policy.refusal(policy.DATA, facts)
        return (refusal, "") if refusal else (None, await self._take(transaction, body))

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
            refusal = Refusal("queue_full", "452 queue is full, try again later (#4.3.1)")
        except Unavailable:
            refusal = Refusal("unavailable", "451 qqt failure (#4.3.0)")
        else:
            self._tally = Tally()
            return f"250 ok {done.now} qp {done.mail_id}"
        self._log_refusal(refusal, sender=transaction.sender)
        return refusal.reply

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
