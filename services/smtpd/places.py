"""Where smtpd listens: the three ports everybody has, and any number more in TUBEPOST_LISTENERS.

A word is `NAME=KIND:HOST:PORT`, with `,proxy` behind it where clients come through a load balancer.
Pure. The name goes into logs, events and metrics, so it is short and plain.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.smtpd.facts import Kind
from tubepost.errors import BadInput
from tubepost.settings import parse_listen

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_KINDS = {kind.value: kind for kind in Kind}

TAKEN = frozenset({"smtp", *_KINDS, "http", "bounce", "pop3", "pop3s", "admin", "durability"})
"""Names that mean something else in logs, metrics or the ready line."""

FORM = "NAME=KIND:HOST:PORT, with ,proxy behind it or not"


@dataclass(frozen=True, slots=True)
class Place:
    """One listener. `proxy`: trusted load balancers tell who the client is (PROXY protocol)."""

    name: str
    kind: Kind
    host: str
    port: int
    proxy: bool = False


def parse(text: str) -> tuple[Place, ...]:
    """The words of TUBEPOST_LISTENERS, blanks between. Raises BadInput, naming the word."""
    found: dict[str, Place] = {}
    for word in text.split():
        place = _place(word)
        if place.name in found:
            raise BadInput(f"two listeners have the name {place.name!r}")
        found[place.name] = place
    return tuple(found.values())


def _place(word: str) -> Place:
    place, comma, mark = word.partition(",")
    name, _, rest = place.partition("=")
    kind, colon, listen = rest.partition(":")
    if not colon or (comma and mark != "proxy"):
        raise BadInput(f"{word!r} is not {FORM}")
    if not _NAME.fullmatch(name) or name in TAKEN:
        raise BadInput(f"{word!r}: a name is a-z, 0-9 and _, and not one that is taken")
    if kind not in _KINDS:
        raise BadInput(f"{word!r}: {kind!r} is not a kind; there are {', '.join(_KINDS)}")
    host, port = parse_listen(listen)
    return Place(name, _KINDS[kind], host, port, proxy=bool(comma))


def standard(listens: Mapping[str, str | None]) -> Iterator[Place]:
    """The ports that have a setting of their own: name -> HOST:PORT, None = not wanted."""
    kinds = {"smtp": Kind.MX, "submission": Kind.SUBMISSION, "submissions": Kind.SUBMISSIONS}
    for name, listen in listens.items():
        if listen:
            yield Place(name, kinds[name], *parse_listen(listen))


def check_certificate(places: Iterable[Place], *, has_one: bool) -> None:
    """Raises BadInput where a listener cannot do its work without a certificate (RFC 8314 3.3)."""
    for place in places:
        if place.kind.implicit_tls and not has_one:
            raise BadInput(
                f"the listener {place.name} speaks TLS from the first octet:"
                " set TUBEPOST_TLS_CERT and TUBEPOST_TLS_KEY"
            )


def fixed(text: str, bound: Mapping[str, str]) -> str:
    """The same words with the addresses that were bound: a worker, or a restart, takes these."""
    return " ".join(
        f"{p.name}={p.kind.value}:{bound[p.name]}{',proxy' * p.proxy}" if p.name in bound else word
        for word, p in zip(text.split(), parse(text), strict=True)
    )
