"""Tokens of domain administrators: each is for some domains only, and may have an end.

Only a SHA-256 of a token is kept: it is the key. A token is 256 random bits, so no slow hash is
needed, and the look-up by hash tells nothing by its time.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from services.popauth.changes import ACTION, ACTOR
from tubepost import maillog, subjects
from tubepost.admin import MAX_ACTOR, Principal
from tubepost.errors import BadInput, Exists, NotFound
from tubepost.keyed import Mirror, Value, encoded
from tubepost.outcome import one_line
from tubepost.ports import Bus, Clock

KEYS = "token.*"
PREFIX = "tp_"
ID_LENGTH = 16
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Token:
    """`id`: the begin of the hash. `expires`: seconds since 1970, 0 = never."""

    id: str
    name: str
    domains: tuple[str, ...]
    expires: float = 0.0


class Tokens:
    """`run` keeps them up to date; `mirror.loaded` is set when they are there."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self.mirror = Mirror(bus, subjects.DIRECTORY, keys=KEYS)

    def principal(self, text: str) -> Principal | None:
        """Whose token it is; None where it is nobody's, or over."""
        found = self.mirror.values.get(_key(text))
        token = _token(_key(text), found[0]) if found else None
        if token is None or self._is_over(token):
            return None
        return Principal(token.name, frozenset(token.domains))

    def every(self) -> list[Token]:
        """By name; those that are over are among them."""
        found = (_token(key, value) for key, (value, _) in self.mirror.values.items())
        return sorted(found, key=lambda token: (token.name, token.id))

    def for_domain(self, domain: str) -> list[str]:
        """The names of the tokens that are for a domain now."""
        return [t.name for t in self.every() if domain in t.domains and not self._is_over(t)]

    async def add(
        self, name: str, domains: Sequence[str], expires: float, by: str
    ) -> tuple[str, Token]:
        """The token, which is nowhere to be read again, and what is known of it."""
        self._check(name, expires)
        text = PREFIX + secrets.token_urlsafe(32)
        value = {"name": name, "domains": sorted(set(domains)), "expires": expires}
        await self._write(_key(text), value, by, "token added", name)
        return text, _token(_key(text), value)

    async def revoke(self, id_: str, by: str) -> None:
        """In effect at once; elsewhere as soon as it is heard."""
        key = next((k for k, t in self._by_key() if t.id == id_), None)
        if key is None:
            raise NotFound("there is no token of that id; see: tubepost token list")
        name = str(self.mirror.values[key][0].get("name", ""))
        await self._write(key, None, by, "token revoked", name)

    def _by_key(self) -> list[tuple[str, Token]]:
        return [(key, _token(key, value)) for key, (value, _) in self.mirror.values.items()]

    def _check(self, name: str, expires: float) -> None:
        if not name or name == Principal().name or one_line(name, MAX_ACTOR) != name:
            raise BadInput(f"a token has a name of its own, of 1 to {MAX_ACTOR} ASCII characters")
        if any(token.name == name for token in self.every()):
            raise Exists(f"there is a token {name} already; revoke it, or choose another name")
        if expires and expires <= self._clock():
            raise BadInput("expires has passed already; give seconds since 1970, or 0 for never")
        if len(self.mirror.values) >= MOST:
            raise Exists(f"there are {MOST} tokens; revoke those that are over")

    def _is_over(self, token: Token) -> bool:
        return bool(token.expires) and token.expires <= self._clock()

    async def _write(self, key: str, value: Value | None, by: str, action: str, name: str) -> None:
        headers = {ACTOR: by, ACTION: action}
        subject = subjects.bucket_key(subjects.DIRECTORY, key)
        revision = await self._bus.append(subject, encoded(value), headers=headers)
        maillog.changed(action, name, by)
        await self.mirror.seen(revision)


def _key(text: str) -> str:
    return f"token.{hashlib.sha256(text.encode()).hexdigest()}"


def _token(key: str, value: Value) -> Token:
    id_ = key.removeprefix("token.")[:ID_LENGTH]
    domains = tuple(map(str, value.get("domains", ())))
    return Token(id_, str(value.get("name", "")), domains, float(value.get("expires", 0)))
