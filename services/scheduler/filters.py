"""Which units an operator means. Pure.

A unit matches where everything that is given does. What a record does not say, such as the
recipients of a mail that is not split yet, does not match.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from tubepost.record import Held, Record

Test = Callable[[Record], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """ "" and 0 mean: any.

    `domain`: the destination's, or a recipient's. `sender`, `recipient`: an address, or `@domain`;
    `<>` is the sender of bounces. `error`: part of a recipient's last reply; `kind`: what kind of
    trouble that was (tubepost.reply_kinds). `older`, `newer`: seconds since it was accepted.
    `attempts`: at least so many. Case does not matter.
    """

    domain: str = ""
    sender: str = ""
    recipient: str = ""
    state: str = ""
    channel: str = ""
    error: str = ""
    kind: str = ""
    older: float = 0
    newer: float = 0
    attempts: int = 0

    def given(self) -> dict[str, Any]:
        """What is not "any"; Filter(**given) is this filter again."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value}

    def matcher(self, now: float) -> Callable[[Held], bool]:
        """A function that says whether a unit matches. Made once for many units."""
        tests = [
            make(getattr(self, name), now) for name, make in _TESTS.items() if name in self.given()
        ]
        return lambda held: all(test(held.record) for test in tests)


def _domain(text: str, _now: float) -> Test:
    domain = text.lower()
    ending = "@" + domain
    return lambda record: (
        record.destination.lower() == domain
        or any(r.address.lower().endswith(ending) for r in record.recipients)
    )


def _fits(text: str) -> Callable[[str], bool]:
    wanted = text.lower()
    if wanted.startswith("@"):
        return lambda address: address.lower().endswith(wanted)
    return lambda address: address.lower() == wanted


def _sender(text: str, _now: float) -> Test:
    fits = _fits("" if text == "<>" else text)
    return lambda record: fits(record.sender)


def _recipient(text: str, _now: float) -> Test:
    fits = _fits(text)
    return lambda record: any(fits(r.address) for r in record.recipients)


def _error(text: str, _now: float) -> Test:
    part = text.lower()
    return lambda record: any(part in r.reply.lower() for r in record.recipients)


def _kind(text: str, _now: float) -> Test:
    kind = text.lower()
    return lambda record: any(r.kind == kind for r in record.recipients)


_TESTS: dict[str, Callable[[Any, float], Test]] = {
    "state": lambda state, _: lambda record: record.state == state,
    "channel": lambda channel, _: lambda record: record.channel == channel,
    "older": lambda seconds, now: lambda record: record.created <= now - seconds,
    "newer": lambda seconds, now: lambda record: record.created >= now - seconds,
    "attempts": lambda least, _: lambda record: record.attempts >= least,
    "domain": _domain,
    "sender": _sender,
    "recipient": _recipient,
    "kind": _kind,
    "error": _error,
}
