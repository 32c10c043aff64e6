"""What a change changed, in words: for the history. Never a password or its hash. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from tubepost.directory_values import Account, Domain, Entry, Limits
from tubepost.quota import Quota

SECRET = frozenset({"password"})

UNTOLD = frozenset({"quota_since"})
"""The time of the change itself."""


def of_entry(before: Entry | None, after: Entry) -> str:
    """`forward: +bob@far.example; keep: no`."""
    if before is None and isinstance(after, Account):
        return f"home: {after.home}" + (f"; quota: {after.quota}" if after.quota else "")
    return "; ".join(_lines(before, after, leave_out="address"))


def of_domain(before: Domain | None, after: Domain) -> str:
    return "; ".join(_lines(before, after, leave_out="name"))


def _lines(before: Any, after: Any, *, leave_out: str) -> Iterator[str]:
    for each in fields(after):
        was = getattr(before, each.name, each.default)
        now = getattr(after, each.name)
        if each.name == leave_out or each.name in UNTOLD or was == now:
            continue
        if isinstance(now, Limits):
            yield from _lines(was, now, leave_out="")
        elif each.name in SECRET:
            yield "password changed"
        else:
            yield f"{each.name}: {_change(was, now)}"


def _change(was: object, now: object) -> str:
    if isinstance(now, tuple | frozenset):
        return _of_members(was if isinstance(was, tuple | frozenset) else (), now)
    if isinstance(was, bool | str | int | Quota):
        return f"{_word(was)} -> {_word(now)}"
    return _word(now)


def _of_members(was: Sequence[str] | frozenset[str], now: Sequence[str] | frozenset[str]) -> str:
    gone, come = set(was) - set(now), set(now) - set(was)
    parts = [*(f"+{each}" for each in sorted(come)), *(f"-{each}" for each in sorted(gone))]
    return " ".join(parts) or "another order"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"
