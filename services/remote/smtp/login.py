"""AUTH as a client says it: PLAIN (RFC 4616), else LOGIN, to the relays of smtproutes. Pure.

What stands here is secret; nothing of it may get into an outcome, a log or a repr.
"""

from base64 import b64encode

from tubepost.smtproutes import Login

MAX_COMMAND = 510
"""Octets of a command without its line end; a longer response has a line of its own, RFC 4954 4."""

CANCEL = b"*\r\n"
"""RFC 4954 4: the client gives up; the peer answers with 501."""


def exchange(login: Login, mechanisms: str) -> list[bytes]:
    """The lines to say, the next one after each 334; none where no mechanism is known to us.

    `mechanisms`: the parameters of AUTH in the reply to EHLO. PLAIN goes first, in one step.
    """
    offered = mechanisms.upper().split()
    if "PLAIN" in offered:
        response = _plain(login)
        lines = [b"AUTH PLAIN " + response]
        if len(lines[0]) > MAX_COMMAND:
            lines = [b"AUTH PLAIN", response]
    elif "LOGIN" in offered:
        lines = [b"AUTH LOGIN", b64encode(_octets(login.user)), b64encode(_octets(login.password))]
    else:
        lines = []
    return [line + b"\r\n" for line in lines]


def secrets(login: Login) -> tuple[bytes, ...]:
    """What a peer's reply must not repeat: some quote the command they do not like."""
    password = _octets(login.password)
    return tuple(filter(None, (password, b64encode(password), _plain(login))))


def _plain(login: Login) -> bytes:
    return b64encode(b"\0" + _octets(login.user) + b"\0" + _octets(login.password))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")
