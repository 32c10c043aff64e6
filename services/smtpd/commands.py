"""The arguments of MAIL and RCPT (RFC 5321 4.1.1.2 and 4.1.1.3, RFC 3461 4). Pure.

Strict about what an address is; lenient, as qmail is, about spaces after the colon, a missing pair
of angle brackets and a source route, which is dropped (RFC 5321 C).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tubepost import dsn, verp
from tubepost.address import parse_address, printable
from tubepost.errors import BadInput

POSTMASTER = "postmaster"
"""The one recipient without a domain (RFC 5321 4.1.1.3)."""


class UnknownParameter(BadInput):
    """555: a parameter that was not offered (RFC 5321 4.1.1.11)."""


@dataclass(frozen=True, slots=True)
class Path:
    """An address as it goes on the wire ("" = null reverse-path) and ESMTP parameters."""

    address: str
    parameters: Mapping[str, str]


def parse_mail(argument: str) -> Path:
    """`FROM:<a@b> SIZE=1000`, or a VERP sender `FROM:<a-@b-@[]>`. Raises BadInput."""
    path = _path(argument, "FROM:", null_allowed=True)
    utf8 = "SMTPUTF8" in path.parameters
    sender = verp.parse_sender(path.address, utf8=utf8) if path.address else ""
    return _checked(sender, path.parameters, _OF_MAIL)


def parse_rcpt(argument: str, *, utf8: bool = False) -> Path:
    """`TO:<a@b> NOTIFY=NEVER`. `utf8`: MAIL had SMTPUTF8. Raises BadInput."""
    path = _path(argument, "TO:", null_allowed=False)
    if path.address.lower() == POSTMASTER:
        recipient = POSTMASTER
    else:
        recipient = str(parse_address(path.address, utf8=utf8))
    return _checked(recipient, path.parameters, _OF_UTF8_RCPT if utf8 else _OF_RCPT)


def _size(value: str) -> str:
    if not (value.isascii() and value.isdecimal()):
        raise BadInput("SIZE is a number")
    return value


def _body(value: str) -> str:
    if value.upper() not in ("7BIT", "8BITMIME"):
        raise BadInput("BODY is 7BIT or 8BITMIME")
    return value


def _submitter(value: str) -> str:
    """RFC 4954 5: who first submitted the mail. Taken from clients that send it, and not believed:
    nobody here is trusted to say so, and it is not passed on.
    """
    if not value:
        raise BadInput("AUTH is <> or an address")
    return value


def _no_value(value: str) -> str:
    if value:
        raise BadInput("SMTPUTF8 has no value")
    return value


Checks = Mapping[str, Callable[[str], str]]

_OF_MAIL: Checks = {
    "SIZE": _size,
    "BODY": _body,
    "RET": dsn.parse_ret,
    "ENVID": dsn.parse_envid,
    "AUTH": _submitter,
    "SMTPUTF8": _no_value,
}
_OF_RCPT: Checks = {"NOTIFY": dsn.parse_notify, "ORCPT": dsn.parse_orcpt}
_OF_UTF8_RCPT: Checks = {"NOTIFY": dsn.parse_notify, "ORCPT": dsn.parse_utf8_orcpt}


def _checked(address: str, parameters: Mapping[str, str], checks: Checks) -> Path:
    for name in parameters:
        if name not in checks:
            raise UnknownParameter(f"{name} is not offered")
    return Path(address, {name: checks[name](value) for name, value in parameters.items()})


def _path(argument: str, keyword: str, *, null_allowed: bool) -> Path:
    """Address and parameters as they were written; "" is the null sender."""
    if argument[: len(keyword)].upper() != keyword:
        raise BadInput(f"write {keyword}<address>")
    text = argument[len(keyword) :].lstrip()
    mailbox, rest = _bracketed(text) if text.startswith("<") else _bare(text)
    if null_allowed and text.startswith("<>"):
        return Path("", _parameters(rest))
    if not mailbox:
        raise BadInput("there is no address")
    return Path(mailbox, _parameters(rest))


def _bracketed(text: str) -> tuple[str, str]:
    """`<mailbox> rest`; a `>` inside a quoted local part does not end it."""
    quoted = False
    position = 1
    while position < len(text):
        c = text[position]
        if c == "\\" and quoted:
            position += 1
        elif c == '"':
            quoted = not quoted
        elif c == ">" and not quoted:
            return _without_route(text[1:position]), text[position + 1 :]
        position += 1
    raise BadInput("the address has no closing >")


def _bare(text: str) -> tuple[str, str]:
    mailbox, _, rest = text.partition(" ")
    return mailbox, rest


def _without_route(mailbox: str) -> str:
    """Drops `@relay,@relay:` in front of a mailbox."""
    if mailbox.startswith("@"):
        return mailbox.partition(":")[2]
    return mailbox


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise BadInput(f"{printable(word)!r} is not a parameter")
        if name.upper() in found:
            raise BadInput(f"{name.upper()} is given twice")
        found[name.upper()] = value
    return found
