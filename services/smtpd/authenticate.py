"""AUTH PLAIN and LOGIN (RFC 4954, 4616): the exchange, and the question to popauth.

Passwords pass through and are neither kept nor logged; popauth alone judges them.
"""

import base64
import json
from collections.abc import Awaitable, Callable

from tubepost import maillog, subjects
from tubepost.errors import BadInput, Unavailable
from tubepost.ports import Bus

MECHANISMS = ("PLAIN", "LOGIN")

Challenge = Callable[[bytes], Awaitable[str]]
"""Sends `334 ` and base64 of the octets, returns the client's line."""


class Cancelled(BadInput):
    """The client sent `*`."""


class UnknownMechanism(BadInput):
    """504."""


async def credentials(mechanism: str, initial: str | None, challenge: Challenge) -> tuple[str, str]:
    """Carries out the exchange; user name and password. Raises BadInput."""
    if mechanism == "PLAIN":
        message = _decoded(initial if initial is not None else await challenge(b""))
        parts = message.split("\0")
        if len(parts) != 3:
            raise BadInput("malformed")
        return parts[1], parts[2]
    if mechanism == "LOGIN":
        user = _decoded(initial if initial is not None else await challenge(b"Username:"))
        return user, _decoded(await challenge(b"Password:"))
    raise UnknownMechanism(mechanism)


def _decoded(line: str) -> str:
    if line == "*":
        raise Cancelled("cancelled")
    try:
        return base64.b64decode("" if line == "=" else line, validate=True).decode()
    except ValueError as error:  # not base64, or not UTF-8
        raise BadInput("malformed") from error


async def check(bus: Bus, user: str, password: str, client: str) -> str | None:
    """Asks popauth; the account's address, or None. Raises Unavailable when it does not know."""
    question = {"user": user, "password": password, "client": client}
    try:
        answer = json.loads(await bus.ask(subjects.AUTH_CHECK, json.dumps(question).encode()))
        if answer["result"] == "unavailable":
            raise Unavailable("popauth cannot tell now")
    except Unavailable:
        maillog.login("smtp", user, client, result="unavailable")
        raise
    account: str | None = answer.get("account")
    maillog.login("smtp", user, client, result="success" if account else "refused")
    return account
