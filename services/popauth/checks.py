"""What may stand in the directory: looked at before anything is written. Pure. Raises BadInput."""

from collections.abc import Iterable

from tubepost.account_rights import OF_DOMAINS
from tubepost.address import Address, AddressError, parse_address, parse_domain, printable
from tubepost.candidates import RETURN
from tubepost.directory_values import DELETE, FLAGS, REFUSE
from tubepost.errors import BadInput

MAX_TARGETS = 1_000
MAX_MEMBERS = 10_000
MAX_NAME = 200
MAX_LIST_NAME = 64 - len(RETURN)


def mail_domain(text: str) -> str:
    """A domain that can have mailboxes."""
    domain = parse_domain(text)
    if domain.startswith("[") or "." not in domain:
        raise BadInput(f"{domain} cannot be a mail domain here; give one like example.org")
    return domain


def targets(texts: Iterable[str], own: Address) -> tuple[str, ...]:
    """Who else gets the mail for `own`: addresses, each once, in order."""
    return addresses(texts, MAX_TARGETS, "addresses", own)


def members(texts: Iterable[str], own: Address) -> tuple[str, ...]:
    """Of a list: as `targets`, and more."""
    return addresses(texts, MAX_MEMBERS, "members", own)


def addresses(
    texts: Iterable[str], most: int, what: str, own: Address | None = None
) -> tuple[str, ...]:
    """As they go on the wire, each once, in the order given. None of them is `own`."""
    found: dict[str, str] = {}
    for text in texts:
        each = parse_address(text.strip(), utf8=True)
        if own and each.key == own.key:
            raise BadInput(f"{own} cannot send its mail on to itself; leave it out")
        found.setdefault(each.key, str(each))
    if len(found) > most:
        raise BadInput(f"{len(found)} {what} are more than {most}; spread them over several lists")
    return tuple(found.values())


def list_name(address: Address) -> None:
    """A list's mails come from `name-return-...@`: that has to fit, and to be its own (LIST-1)."""
    if RETURN in address.box:
        raise BadInput(
            f"a list cannot have {RETURN!r} in its name: reports about another list come to such "
            "addresses; choose another name"
        )
    if len(address.box.encode()) > MAX_LIST_NAME:
        raise BadInput(
            f"a list's name has up to {MAX_LIST_NAME} octets before the @: longer, there is no "
            f"room for {RETURN!r}; choose a shorter one"
        )


def one_address(text: str, what: str) -> str:
    """As it goes on the wire. `what` it is for, for the one who reads the error."""
    try:
        return str(parse_address(text, utf8=True))
    except AddressError as error:
        raise BadInput(f"{what}: {error}") from error


def unknown(text: str) -> str:
    """What becomes of mail for nobody (VDM-2)."""
    if text in (REFUSE, DELETE):
        return text
    if "@" not in text:
        raise BadInput(
            f"{printable(text)!r} is none of {REFUSE}, {DELETE}, or an address for a catch-all"
        )
    return one_address(text, "catch-all")


def domain_flags(names: Iterable[str]) -> frozenset[str]:
    """What all accounts of a domain may be forbidden."""
    found = frozenset(names)
    if found - OF_DOMAINS:
        raise BadInput(
            f"{printable(min(found - OF_DOMAINS))!r} is none of {', '.join(sorted(OF_DOMAINS))}"
        )
    return found


def flags(names: Iterable[str]) -> frozenset[str]:
    """What an account may be forbidden."""
    found = frozenset(names)
    if found - FLAGS:
        raise BadInput(f"{printable(min(found - FLAGS))!r} is none of {', '.join(sorted(FLAGS))}")
    return found


def display_name(text: str) -> str:
    """Of a person or a list."""
    if len(text) > MAX_NAME or not text.isprintable():
        raise BadInput(f"a name has up to {MAX_NAME} characters, and none that turns a line")
    return text
