"""badmailfrom, badrcptto and badhelo in SPAMCONTROL's forms (SMTPD-20): parsed and matched. Pure.

Exact lines (`user@host`, `@host`) are looked up in a set. Lines with `*`, `?` or `[...]` are
compared one after another, whatever case; the last one that fits counts, and one behind `!` takes
out what those before it have put in.
"""

import fnmatch
import re
from dataclasses import dataclass

from tubepost.address import parse_address, parse_domain, printable
from tubepost.errors import BadInput
from tubepost.setting import Lines

NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wild:
    """One line with wildcards. `puts_in`: it has no `!` in front."""

    pattern: re.Pattern[str]
    puts_in: bool


Wilds = tuple[Wild, ...]


@dataclass(frozen=True, slots=True)
class Patterns:
    """Exact lines, and those with wildcards."""

    exact: frozenset[str] = NOBODY
    wild: Wilds = ()

    def __bool__(self) -> bool:
        return bool(self.exact or self.wild)

    def has(self, name: str) -> bool:
        """A host name, in lower case."""
        return name in self.exact or fits(self.wild, name)

    def has_address(self, address: str) -> bool:
        """An address in lower case: itself, its `@host`, or a pattern."""
        at = address.rfind("@")
        return address in self.exact or address[at:] in self.exact or fits(self.wild, address)


@dataclass(frozen=True, slots=True)
class Senders:
    """badmailfrom. All but `exact` and `exempt` is empty in qmail's own form.

    `exempt`: `?user@host`, nothing is asked about this sender. Of the others the host stands here:
    `strangers`: `@host+`, refused from whoever may not relay. `nameless`: `@host-`, refused from
    clients without a name. `own`: `@host=`, refused from clients whose name is outside the host.
    `others`: `~host`, clients with a name in the host may only send with that as sender's domain.
    """

    exact: frozenset[str] = NOBODY
    exempt: frozenset[str] = NOBODY
    wild: Wilds = ()
    strangers: frozenset[str] = NOBODY
    nameless: frozenset[str] = NOBODY
    own: frozenset[str] = NOBODY
    others: frozenset[str] = NOBODY

    @property
    def need_name(self) -> bool:
        """Some line can only be judged with the client's reverse name."""
        return bool(self.nameless or self.own or self.others)

    def name_objects(self, domain: str, name: str | None) -> bool:
        """Whether the client's name speaks against the sender's domain. None: it is not known."""
        if name is None:
            return False
        if not name:
            return domain in self.nameless
        if within(name, domain):
            return False
        return domain in self.own or any(within(name, host) for host in self.others)


def within(name: str, host: str) -> bool:
    """A host name that is `host`, or below it."""
    return bool(host) and (name == host or name.endswith("." + host))


def fits(wilds: Wilds, text: str) -> bool:
    """Whether the last pattern that fits puts `text` in."""
    for wild in reversed(wilds):
        if wild.pattern.fullmatch(text):
            return wild.puts_in
    return False


def parse_senders(lines: Lines) -> Senders:
    """badmailfrom. Raises BadInput."""
    found: dict[str, set[str]] = {}
    wild = []
    for text in _texts(lines):
        if _is_wild(text.removeprefix("?")):
            wild.append(_wild(text))
        else:
            kind, value = _sender(text)
            found.setdefault(kind, set()).add(value)
    return Senders(wild=tuple(wild), **{kind: frozenset(values) for kind, values in found.items()})


_SUFFIXES = {"+": "strangers", "-": "nameless", "=": "own"}


def _sender(text: str) -> tuple[str, str]:
    """Where a line belongs, and what stands there of it."""
    if text.startswith("?"):
        return "exempt", parse_address(text[1:]).key
    if text.startswith("~"):
        return "others", parse_domain(text[1:])
    if text.startswith(("+@", "-@", "=@")):
        raise BadInput(f"write {printable(text[1:])}{text[0]}, the sign stands behind the host")
    if text.startswith("@") and text[-1] in _SUFFIXES:
        return _SUFFIXES[text[-1]], parse_domain(text[1:-1])
    return "exact", _exact(text)


def parse_recipients(lines: Lines) -> Patterns:
    """badrcptto: addresses, `@host`, wildcards. Raises BadInput."""
    texts = _texts(lines)
    return Patterns(
        frozenset(_exact(text) for text in texts if not _is_wild(text)),
        tuple(_wild(text) for text in texts if _is_wild(text)),
    )


def parse_hosts(lines: Lines) -> Patterns:
    """badhelo: host names and wildcards. Raises BadInput."""
    texts = _texts(lines)
    return Patterns(
        frozenset(parse_domain(text) for text in texts if not _is_wild(text)),
        tuple(_wild(text) for text in texts if _is_wild(text)),
    )


def _texts(lines: Lines) -> list[str]:
    return [line.strip().lower() for line in lines if line.strip()]


def _exact(text: str) -> str:
    return "@" + parse_domain(text[1:]) if text.startswith("@") else parse_address(text).key


def _is_wild(text: str) -> bool:
    """An address literal has brackets, too."""
    literal = "@[" in text and text.endswith("]")
    return text.startswith("!") or "*" in text or "?" in text or ("[" in text and not literal)


def _wild(text: str) -> Wild:
    puts_in = not text.startswith("!")
    pattern = text.removeprefix("!")
    if not pattern or len(pattern) > 255 or not pattern.isascii() or " " in pattern:
        raise BadInput(f"{printable(text)!r} is no pattern: * ? [a-z], ASCII without blanks")
    return Wild(re.compile(fnmatch.translate(pattern.replace("[^", "[!"))), puts_in)
