"""Checks logins for POP3 and for smtpd, and opens the relay for a client of POP3.

The relay is open before the answer goes out: whoever reads +OK may send at once (RELAY-2).
"""

import json
from pathlib import Path

from services.popauth.connection import Accepted, LoginResult, Refused, TryLater
from services.popauth.passwords import Passwords
from services.popauth.secrets import Secrets
from tubepost import maillog, smtp_values
from tubepost.account_rights import POP3, SMTP, TEXTS, flags_in_force, kept_out
from tubepost.address import AddressError, parse_address
from tubepost.bookings import books_of
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import NO_RELAY, Account
from tubepost.errors import StoreFull, Unavailable
from tubepost.relay_list import RelayList, may_be_listed


class Logins:
    """A pop3 Authority, and the answer to `auth.check`. `window`: seconds the relay stays open."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        directory: Directory,
        passwords: Passwords,
        relay_list: RelayList,
        control: Control,
        *,
        secrets: Secrets,
        mail_root: Path,
        window: float,
        instance: str,
    ) -> None:
        self._directory, self._passwords, self._control = directory, passwords, control
        self._relay_list, self._window, self._instance = relay_list, window, instance
        self._mail_root, self._secrets = mail_root, secrets

    async def login(self, user: str, password: str, client_ip: str) -> LoginResult:
        """See connection.Authority."""
        try:
            account = await self._proven(user, password)
        except Unavailable:
            maillog.login("pop3", user, client_ip, result="unavailable")
            return TryLater()
        if account is None:
            maillog.login("pop3", user, client_ip, result="refused")
            return Refused("wrong name or password")
        flags = self._flags(account)
        flag = kept_out(flags, POP3)
        if flag:
            maillog.login_kept_out("pop3", account.address, client_ip, flag=flag)
            return Refused(flag, TEXTS[flag])
        await self._open_relay(account, client_ip)
        maillog.login("pop3", account.address, client_ip, result="success")
        domain = self._directory.domain(account.address.rpartition("@")[2])
        books = books_of(account, domain, self._mail_root)
        return Accepted(account.address, self._mail_root / account.home, books)

    async def check(self, _subject: str, data: bytes) -> bytes:
        """Answers `auth.check`: {user, password} or {user, challenge, digest} -> {result, account}.

        A flag, such as `no_smtp`: the password is right, and the account may not use AUTH (AUTH-7).
        """
        question = json.loads(data)
        try:
            account = await self._of_smtp(question)
        except Unavailable:
            return json.dumps({"result": "unavailable"}).encode()
        if account is None:
            return json.dumps({"result": "refused"}).encode()
        flag = kept_out(self._flags(account), SMTP)
        if flag:
            return json.dumps({"result": flag}).encode()
        return json.dumps({"result": "accepted", "account": account.address}).encode()

    async def _of_smtp(self, question: dict[str, str]) -> Account | None:
        user = question["user"]
        if "digest" not in question:
            return await self._proven(user, question["password"])
        account = await self._named(user)
        challenge, digest = question["challenge"], question["digest"]
        proven = await self._secrets.proves(account, user, challenge, digest)
        return account if proven else None

    async def _proven(self, user: str, password: str) -> Account | None:
        account = await self._named(user)
        stored = account.password if account else None
        return account if await self._passwords.check(stored, password) else None

    def _flags(self, account: Account) -> frozenset[str]:
        domain = account.address.rpartition("@")[2]
        return flags_in_force(account, self._directory.domain(domain))

    async def _named(self, user: str) -> Account | None:
        try:
            return await self._directory.account(parse_address(user))
        except AddressError:
            return None

    async def _open_relay(self, account: Account, ip: str) -> None:
        """A failure here is logged, and the login still succeeds (RELAY-7)."""
        if NO_RELAY in self._flags(account):
            maillog.relay_opened(ip, account.address, result="no_relay")
            return
        get = self._control.get
        allowed, ours = get(smtp_values.RELAYNETWORKS), self._control.own_networks
        if not may_be_listed(ip, allowed=allowed, ours=ours):
            maillog.relay_opened(ip, account.address, result="not_listable")
            return
        try:
            entry, alarm = await self._relay_list.add(
                ip,
                user=account.address,
                window=self._window,
                by=self._instance,
                many=get(smtp_values.RELAYUSERS),
            )
        except (Unavailable, StoreFull):
            maillog.relay_opened(ip, account.address, result="failed")
        else:
            maillog.relay_opened(ip, account.address, result="opened")
            if alarm:
                maillog.relay_many_users(entry.ip, list(entry.users))
