"""The arguments of MAIL and RCPT (RFC 5321 4.1.1.2 and 4.1.1.3, RFC 3461 4). Pure.

Strict about what an address is; lenient, as qmail is, about spaces after the colon, a missing pair
of angle brackets and a source route, which is dropped (RFC 5321 C).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tubepost import dsn, verp
from tubepost.address import parse_address
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
    return _checked(_path(argument, "FROM:", verp.parse_sender, null_allowed=True), _OF_MAIL)


def parse_rcpt(argument: str) -> Path:
    """`TO:<a@b> NOTIFY=NEVER`. Raises BadInput."""
    path = _path(argument, "TO:", lambda text: str(parse_address(text)), null_allowed=False)
    return _checked(path, _OF_RCPT)


def _size(value: str) -> str:
    if not value.isdecimal():
        raise BadInput("SIZE is a number")
    return value


def _body(value: str) -> str:
    if value.upper() not in ("7BIT", "8BITMIME"):
        raise BadInput("BODY is 7BIT or 8BITMIME")
    return value


Checks = Mapping[str, Callable[[str], str]]

_OF_MAIL: Checks = {
    "SIZE": _size,
    "BODY": _body,
    "RET": dsn.parse_ret,
    "ENVID": dsn.parse_envid,
}
_OF_RCPT: Checks = {"NOTIFY": dsn.parse_notify, "ORCPT": dsn.parse_orcpt}


def _checked(path: Path, checks: Checks) -> Path:
    for name in path.parameters:
        if name not in checks:
            raise UnknownParameter(f"{name} is not offered")
    values = {name: checks[name](value) for name, value in path.parameters.items()}
    return replace(path, parameters=values)


def _path(argument: str, keyword: str, read: Callable[[str], str], *, null_allowed: bool) -> Path:
    if argument[: len(keyword)].upper() != keyword:
        raise BadInput(f"write {keyword}<address>")
    text = argument[len(keyword) :].lstrip()
    mailbox, rest = _bracketed(text) if text.startswith("<") else _bare(text)
    if null_allowed and text.startswith("<>"):
        return Path("", _parameters(rest))
    if mailbox.lower() == POSTMASTER and not null_allowed:
        return Path(POSTMASTER, _parameters(rest))
    return Path(read(mailbox), _parameters(rest))


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
        if not name.replace("-", "").isalnum():
            raise BadInput(f"{word!r} is not a parameter")
        if name.upper() in found:
            raise BadInput(f"{name.upper()} is given twice")
        found[name.upper()] = value
    return found
