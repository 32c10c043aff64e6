"""What holds for every address of the platform when one is resolved. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tubepost.address import Address, AddressError, parse_address


def never_reversed(_: Address) -> str | None:
    """Nothing is an SRS address."""
    return None


def unchanged(address: Address) -> Address:
    """No domain is another name of one."""
    return address


@dataclass(frozen=True, slots=True)
class Conventions:
    """`separators`: the setting `extensions`.

    `reverse`: whom an SRS address was made of, None = it is none, or not ours. `canonical`: an
    address in its domain's own name (Directory.canonical).
    """

    separators: Sequence[str] = ("none",)
    reverse: Callable[[Address], str | None] = never_reversed
    canonical: Callable[[Address], Address] = unchanged

    def targets(self, to: Iterable[str]) -> dict[str, str]:
        """Those whom mail is sent on to, in order, by what they are compared by: each once."""
        found: dict[str, str] = {}
        for target in to:
            found.setdefault(self.key(target), target)
        return found

    def key(self, target: str) -> str:
        """Two names of one mailbox have the same."""
        try:
            return self.canonical(parse_address(target, utf8=True)).key
        except AddressError:  # whoever sends it on says so
            return target.lower()


PLAIN = Conventions()
