"""The exchanges of AUTH (RFC 4954): PLAIN (4616), LOGIN, CRAM-MD5 (2195); the question to popauth.

Passwords pass through and are neither kept nor logged; popauth alone judges them.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tubepost import account_rights, maillog, subjects
from tubepost.address import printable
from tubepost.errors import BadInput, Unavailable
from tubepost.ports import Bus

Challenge = Callable[[bytes], Awaitable[str]]
"""Sends `334 ` and base64 of the octets, returns the client's line."""


class Cancelled(BadInput):
    """The client sent `*`."""


class UnknownMechanism(BadInput):
    """504."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client says to be `user`. `shown`: the fields of the question to popauth.

    `acts_for`: PLAIN's authorization identity, "" = himself.
    """

    user: str
    shown: Mapping[str, str] = field(repr=False)
    acts_for: str = ""

    @property
    def for_himself(self) -> bool:
        """Nobody may act for anybody else here (RFC 4616 2)."""
        return self.acts_for.lower() in ("", self.user.lower())


async def exchange(
    mechanism: str, initial: str | None, challenge: Challenge, banner: Callable[[], str]
) -> Proof:
    """Carries out a mechanism, by its name in lower case. Raises BadInput.

    `banner`: makes what CRAM-MD5 begins with, another one each time.
    """
    if mechanism == "plain":
        return _plain(_decoded(initial if initial is not None else await challenge(b"")))
    if mechanism == "login":
        user = _decoded(initial if initial is not None else await challenge(b"Username:"))
        return _password(user, _decoded(await challenge(b"Password:")))
    if mechanism != "cram-md5":
        raise UnknownMechanism(mechanism)
    if initial is not None:
        raise BadInput("the server begins CRAM-MD5 (RFC 4954 4)")
    asked = banner()
    return _digest(asked, _decoded(await challenge(asked.encode())))


def _plain(message: str) -> Proof:
    parts = message.split("\0")
    if len(parts) != 3:
        raise BadInput("malformed")
    return _password(parts[1], parts[2], acts_for=parts[0])


def _password(user: str, password: str, acts_for: str = "") -> Proof:
    if not user or not password or "\0" in user or "\0" in password:
        raise BadInput("malformed")
    return Proof(user, {"password": password}, acts_for)


def _digest(challenge: str, answer: str) -> Proof:
    """`user digest`; the name may have spaces, the digest is 32 hex digits."""
    user, _, digest = answer.rpartition(" ")
    if not user or "\0" in user or len(digest) != 32 or set(digest) - set("0123456789abcdefABCDEF"):
        raise BadInput("malformed")
    return Proof(user, {"challenge": challenge, "digest": digest})


def _decoded(line: str) -> str:
    if line == "*":
        raise Cancelled("cancelled")
    try:
        return base64.b64decode("" if line == "=" else line, validate=True).decode()
    except ValueError as error:  # not base64, or not UTF-8
        raise BadInput("malformed") from error


async def check(bus: Bus, proof: Proof, client: str) -> str | None:
    """Asks popauth; the account's address, or None. Raises Unavailable when it does not know."""
    user = printable(proof.user, 255)
    if not proof.for_himself:
        maillog.login("smtp", user, client, result="refused")
        return None
    try:
        answer = await _answer(bus, {"user": proof.user, **proof.shown, "client": client})
    except Unavailable:
        maillog.login("smtp", user, client, result="unavailable")
        raise
    if answer["result"] == "no_smtp":
        maillog.login("smtp", user, client, result="no_smtp")
        return None
    if answer["result"] in account_rights.SMTP:
        maillog.login_kept_out("smtp", user, client, flag=answer["result"])
        return None
    account: str | None = answer.get("account")
    maillog.login("smtp", user, client, result="success" if account else "refused")
    return account


async def _answer(bus: Bus, question: Mapping[str, str]) -> dict[str, str]:
    answer: dict[str, str] = json.loads(
        await bus.ask(subjects.AUTH_CHECK, json.dumps(question).encode())
    )
    if answer["result"] == "unavailable":
        raise Unavailable("popauth cannot tell now")
    return answer
