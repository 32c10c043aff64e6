"""The Sender Rewriting Scheme: a forwarded mail's sender, so that SPF passes and bounces return.

A sender `joe@far.example` becomes `SRS0=HHHHH=TT=far.example=joe@srsdomain`; one that another
forwarder has made so becomes `SRS1=HHHHH=forwarder==HHH=TT=far.example=joe@srsdomain`, and never
grows beyond that. H: who knows no secret cannot make one; T: the day, so that it ends. Pure.
Source: Meng Weng Wong, "SRS", 2003; Shevek, "The Sender Rewriting Scheme", 2004.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from tubepost.address import MAX_ADDRESS, MAX_LOCAL, Address

LIFETIME = 21
"""Days a rewritten sender can be answered: longer than a mail and its bounce wait in queues."""

HASH = 5
"""Characters of 5 bits. Base32, as mail systems on the way may change the case of letters."""

_DAY = 86_400
_DAYS = 1024
"""Two characters of 5 bits: days are counted round."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_KIND = re.compile(r"(SRS[01])[=+-](?=.)", re.IGNORECASE | re.DOTALL)


def is_rewritten(address: Address) -> bool:
    """Whether some forwarder made it, we or another."""
    return _KIND.match(address.local) is not None


def forward(sender: Address, domain: str, secret: str, now: float) -> str | None:
    """The sender of what is sent on, at `domain`; None where it would be too long for one."""
    kind = _KIND.match(sender.local)
    if kind is None:
        local = _first(sender.domain, sender.local, secret, now)
    elif kind[1].upper() == "SRS0":
        local = _second(sender.domain, sender.local[4:], secret)
    else:
        parts = sender.local[5:].split("=", 2)
        if len(parts) < 3:
            local = _first(sender.domain, sender.local, secret, now)
        else:
            local = _second(parts[1], parts[2], secret)
    whole = str(Address(local, domain))
    fits = len(local.encode()) <= MAX_LOCAL and len(whole.encode()) <= MAX_ADDRESS
    return whole if fits else None


def reverse(address: Address, secrets: Sequence[str], now: float) -> str | None:
    """The sender that `forward` was given with one of `secrets`, at whatever domain of ours.

    None for what is none of ours, forged, or older than LIFETIME.
    """
    kind = _KIND.match(address.local)
    if kind is None or not secrets:
        return None
    rest = address.local[5:]
    return _of_second(rest, secrets) if kind[1][3] == "1" else _of_first(rest, secrets, now)


def _first(domain: str, local: str, secret: str, now: float) -> str:
    day = _day(now)
    return f"SRS0={_hash(secret, day, domain, local)}={day}={domain}={local}"


def _second(forwarder: str, rest: str, secret: str) -> str:
    """`rest`: what stands behind SRS0 there, its separator included: it is theirs to read."""
    return f"SRS1={_hash(secret, forwarder, rest)}={forwarder}={rest}"


def _of_first(rest: str, secrets: Sequence[str], now: float) -> str | None:
    parts = rest.split("=", 3)
    if len(parts) < 4:
        return None
    given, day, domain, local = parts
    known = _is_ours(given, secrets, day, domain, local) and _is_young(day, now)
    return _made(local, domain) if known else None


def _of_second(rest: str, secrets: Sequence[str]) -> str | None:
    parts = rest.split("=", 2)
    if len(parts) < 3:
        return None
    given, forwarder, theirs = parts
    known = _is_ours(given, secrets, forwarder, theirs)
    return _made(f"SRS0{theirs}", forwarder) if known else None


def _made(local: str, domain: str) -> str | None:
    if not local:
        return None
    return str(Address(local, domain if domain.startswith("[") else domain.lower()))


def _is_ours(given: str, secrets: Sequence[str], *parts: str) -> bool:
    """In a time that does not tell how much of it was right."""
    said = given.upper().encode()
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(_hash(secret, *parts).encode(), said)
    return found


def _hash(secret: str, *parts: str) -> str:
    """Of the parts as they are in whatever case the mail systems on the way left them."""
    text = "\0".join(parts).lower().encode()
    made = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return base64.b32encode(made)[:HASH].decode()


def _day(now: float) -> str:
    number = int(now // _DAY) % _DAYS
    return _DIGITS[number >> 5] + _DIGITS[number & 31]


def _is_young(day: str, now: float) -> bool:
    """A clock of ours may be behind: tomorrow is young, too."""
    if len(day) != 2 or any(digit not in _DIGITS for digit in day.upper()):
        return False
    high, low = (_DIGITS.index(digit) for digit in day.upper())
    age = (int(now // _DAY) - (high * 32 + low) + 1) % _DAYS
    return age <= LIFETIME + 1
