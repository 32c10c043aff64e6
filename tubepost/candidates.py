"""Where mail for an address may belong when nothing is at it: addresses of lists, extensions.

Pure. docs/resolution.md has the rules; each candidate is one look-up, so they are few.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from tubepost.address import Address
from tubepost.directory_values import Account, Alias, Entry, MailingList

PREFIXES = 4
"""How many ways to cut an address are tried: the shortest names, as people and lists have them."""

DEFAULT = "default"

OWNER_ENDINGS = ("-owner", "-request")
"""Of a list (RFC 2142 section 6: a person reads what comes to `-request`)."""

RETURN = "-return-"
"""In the sender of what a list sends: reports come to `list-return-user=host@` (LIST-1)."""


class Way(Enum):
    """What an entry has to be to take the mail of another address."""

    OWNER = "a list, the mail is its owner's"
    RETURN = "a list, the mail is about one it sent"
    DEFAULT = "an alias for all extensions of a name"
    EXTENSION = "an account or an alias with that extension"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address to look up, and what an entry there would be for."""

    address: Address
    way: Way

    def is_for(self, entry: Entry | None) -> bool:
        """Whether what is there takes the mail."""
        return isinstance(entry, _KINDS[self.way])


_KINDS: Mapping[Way, tuple[type, ...]] = {
    Way.OWNER: (MailingList,),
    Way.RETURN: (MailingList,),
    Way.DEFAULT: (Alias,),
    Way.EXTENSION: (Account, Alias),
}


def candidates(address: Address, separators: Sequence[str]) -> tuple[Candidate, ...]:
    """In the order in which they count. The first that fits takes the mail."""
    local = address.box
    names = (*_of_lists(local), *_of_extensions(local, separators))
    return tuple(Candidate(Address(name, address.domain), way) for name, way in names)


def _of_lists(local: str) -> Iterator[tuple[str, Way]]:
    for ending in OWNER_ENDINGS:
        if local.endswith(ending) and local != ending:
            yield local.removesuffix(ending), Way.OWNER
    name, found, _ = local.partition(RETURN)
    if name and found:
        yield name, Way.RETURN


def _of_extensions(local: str, separators: Sequence[str]) -> Iterator[tuple[str, Way]]:
    """`joe-a-b`: joe-a-default, joe-a, joe-default, joe (LCL-1, VDM-1)."""
    if "none" in separators:
        return
    cuts = [at for at, letter in enumerate(local) if at and letter in separators]
    for at in reversed(cuts[:PREFIXES]):
        yield f"{local[: at + 1]}{DEFAULT}", Way.DEFAULT
        yield local[:at], Way.EXTENSION
