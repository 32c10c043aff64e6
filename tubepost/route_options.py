"""What may stand behind the relays of a route: `tls=verify name=smtp.example.net lmtp`. Pure.

No text of an error repeats a value: what stands in the wrong place may be a password.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from tubepost import source_ips
from tubepost.address import AddressError, parse_domain, printable
from tubepost.errors import BadInput
from tubepost.tls_policy import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`names`: as in TlsPolicy. `percent`: the login is percent-encoded."""

    tls: Level | None = None
    names: tuple[str, ...] = ()
    source: source_ips.SourceIps = ()
    helo: str = ""
    lmtp: bool = False
    percent: bool = False


def parse(words: Iterable[str]) -> Options:
    """The options, each a word. Raises BadInput."""
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        field, read = _READERS.get(name.lower() + equals) or _unknown(name, equals)
        if field in given:
            raise BadInput(f"{name}{equals} stands there twice; keep one")
        given[field] = read(value)
    return Options(**given)


def _unknown(name: str, equals: str) -> tuple[str, Callable[[str], Any]]:
    known = "tls=, name=, source=, helo=, login= and lmtp"
    if not equals:
        raise BadInput(f"behind the relays stand only {known}; a list of relays has no blanks")
    alike = get_close_matches(name.lower() + "=", _READERS, n=1)
    hint = f"is it {alike[0]}?" if alike else f"there are {known}"
    raise BadInput(f"{printable(name, 20)}= is no option; {hint}")


def _level(text: str) -> Level:
    try:
        return Level(text.lower())
    except ValueError:
        raise BadInput("tls= is none, may, encrypt or verify") from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(_name(part) for part in text.split(","))


def _name(text: str) -> str:
    try:
        if text.startswith("."):
            return "." + parse_domain(text[1:], utf8=True)
        return parse_domain(text, utf8=True)
    except AddressError:
        raise BadInput("name= is a host name, .suffix, or several with commas between") from None


def _source(text: str) -> source_ips.SourceIps:
    try:
        found = source_ips.parse(text.split(","))
    except BadInput:
        found = ()
    if not found:
        raise BadInput("source= is an IPv4 address, an IPv6 address, or both with a comma between")
    return found


def _helo(text: str) -> str:
    try:
        return parse_domain(text, utf8=True)
    except AddressError:
        raise BadInput("helo= is a host name") from None


def _percent(text: str) -> bool:
    if text.lower() != "percent":
        raise BadInput("login= is percent, where user and password are percent-encoded, or absent")
    return True


_READERS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "tls=": ("tls", _level),
    "name=": ("names", _names),
    "source=": ("source", _source),
    "helo=": ("helo", _helo),
    "login=": ("percent", _percent),
    "lmtp": ("lmtp", lambda _: True),
}
