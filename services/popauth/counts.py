"""How many addresses a domain has, kept beside them: limits hold under parallel changes. Pure.

The count of a domain is written in the same atomic batch as whatever it counts, each time with the
revision that was read: so it is exact, and two changes of one domain cannot pass each other by.
"""

from dataclasses import dataclass, replace

from tubepost.directory_values import Alias, Entry, Limits, MailingList
from tubepost.errors import Exists
from tubepost.keyed import Value, quoted


@dataclass(frozen=True, slots=True)
class Counts:
    """`domains`: those that are other names of this one."""

    accounts: int = 0
    aliases: int = 0
    lists: int = 0
    domains: int = 0

    def plus(self, name: str, more: int) -> "Counts":
        """`name`: of one of the fields. What counts nothing never counts less."""
        return replace(self, **{name: max(getattr(self, name) + more, 0)})

    def check(self, limits: Limits, name: str, more: int = 1) -> None:
        """Raises Exists where the domain may not have that many."""
        there, most = getattr(self, name), getattr(limits, name)
        if most and there + more > most:
            raise Exists(
                f"the domain has {there} of {most} {name}; remove one, or have the limit raised"
            )

    def contents(self) -> str:
        """What a domain still has: `2 accounts, 1 lists`; "" = nothing."""
        names = ("accounts", "aliases", "lists")
        found = {name: getattr(self, name) for name in names}
        return ", ".join(f"{number} {name}" for name, number in found.items() if number)


def counts_key(domain: str) -> str:
    return f"count.{quoted(domain)}"


def counts_value(counts: Counts) -> Value:
    return {
        "accounts": counts.accounts,
        "aliases": counts.aliases,
        "lists": counts.lists,
        "domains": counts.domains,
    }


def counts_of(value: Value) -> Counts:
    names = ("accounts", "aliases", "lists", "domains")
    return Counts(*(int(value.get(name, 0)) for name in names))


def counted_as(entry: Entry) -> str:
    """The field that counts it."""
    match entry:
        case Alias():
            return "aliases"
        case MailingList():
            return "lists"
    return "accounts"
