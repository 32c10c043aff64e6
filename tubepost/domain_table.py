"""The form of control settings that say something for each domain, such as smtproutes. Pure.

One entry a line, by `domain`, `.suffix` for what is below it, or nothing for all others; the most
specific one rules.
"""

from collections.abc import Callable, Container, Iterable
from typing import TypeVar

from tubepost.address import parse_domain
from tubepost.errors import BadInput

T = TypeVar("T")


def parse(
    entries: Iterable[str], parse_entry: Callable[[str], tuple[str, T]], setting: str, what: str
) -> dict[str, T]:
    """The values in `entries`; blank ones and `#` comments are passed over.

    Raises BadInput for the first entry that is wrong, or the second one for a domain. `setting`
    and `what` (a plural noun) are for the text of that.
    """
    table: dict[str, T] = {}
    for entry in entries:
        text = entry.strip()
        if not text or text.startswith("#"):
            continue
        domain, value = parse_entry(text)
        if domain in table:
            raise BadInput(f"{setting}: {domain or 'the default'} has two {what}; keep one")
        table[domain] = value
    return table


def parse_name(text: str) -> str:
    """The left side of an entry, as `name_for` looks it up. Raises BadInput."""
    if not text:
        return ""
    if text.startswith("."):
        return "." + parse_domain(text[1:]).lower()
    return parse_domain(text).lower()


def name_for(table: Container[str], domain: str) -> str | None:
    """Under which name of a table a domain stands: itself, a suffix, "" (default); None = none."""
    name = domain.lower()
    if name in table:
        return name
    at = name.find(".")
    while at >= 0:
        if name[at:] in table:
            return name[at:]
        at = name.find(".", at + 1)
    return "" if "" in table else None
