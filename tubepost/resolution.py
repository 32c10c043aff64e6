"""What an address of ours stands for: the one place that decides it. Pure.

`candidates` says what has to be looked up, `resolve` what is done with mail for the address. The
rows of the order stand in docs/resolution.md; each Resolution names its row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tubepost.address import Address
from tubepost.directory_values import (
    DELETE,
    HOLD,
    LOCKED,
    REFUSE,
    Account,
    Alias,
    Domain,
    Entry,
    MailingList,
)

NO_MAILBOX = "Sorry, no mailbox here by that name. (#5.1.1)"


@dataclass(frozen=True, slots=True)
class Store:
    """Into the account's Maildir."""

    account: Account

    @property
    def name(self) -> str:
        """What this action is called where a record says that it is done."""
        return "store"


@dataclass(frozen=True, slots=True)
class Forward:
    """On as a new mail to each of `to`, from `via`, an address of ours.

    `owner`: who gets its bounces, "" = the sender; `verp`: see Alias.
    """

    to: tuple[str, ...]
    via: str
    owner: str = ""
    verp: bool = False

    @property
    def name(self) -> str:
        return "forward"


@dataclass(frozen=True, slots=True)
class Post:
    """To the members of a list."""

    mailing_list: MailingList

    @property
    def name(self) -> str:
        return "post"


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing: it counts as delivered."""

    @property
    def name(self) -> str:
        return "discard"


@dataclass(frozen=True, slots=True)
class Refuse:
    """For good. `text` and `status` as in outcome.Failed."""

    text: str
    status: str

    @property
    def name(self) -> str:
        return "refuse"


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. `text` and `status` as in outcome.Deferred."""

    text: str
    status: str

    @property
    def name(self) -> str:
        return "wait"


Action = Store | Forward | Post | Discard | Refuse | Wait


@dataclass(frozen=True, slots=True)
class Resolution:
    """`address`: what the mail is for, after domain aliases: Delivered-To says it.

    `rule`: the row of the table. Each action has an outcome of its own.
    """

    address: str
    rule: str
    actions: tuple[Action, ...]

    @property
    def exists(self) -> bool:
        return not any(isinstance(a, Refuse) and a.status == "5.1.1" for a in self.actions)


def candidates(address: Address, separators: Sequence[str]) -> tuple[Address, ...]:
    """The addresses to look up where there is nothing at `address` itself, in order."""
    return ()


def resolve(address: Address, domain: Domain, found: Mapping[str, Entry]) -> Resolution:
    """What is done with mail for `address`, in its domain's own name (not an alias's).

    `found`: what was looked up, by Address.key, in the order of `candidates`.
    """
    if domain.hold:
        return _one(
            address, "domain on hold", Wait("Mail for this domain is on hold. (#4.2.1)", "4.2.1")
        )
    entry = found.get(address.key)
    match entry:
        case Account():
            return _of_account(address, entry)
        case Alias():
            action = Forward(entry.to, entry.address, entry.owner, entry.verp)
            return _one(address, "alias", action)
        case MailingList():
            return _one(address, "list", Post(entry))
    match domain.unknown:
        case str(unknown) if unknown == REFUSE:
            return nobody(address)
        case str(unknown) if unknown == DELETE:
            return _one(address, "nobody: deleted", Discard())
        case catch_all:
            return _one(address, "catch-all", Forward((catch_all,), str(address)))


def nobody(address: Address) -> Resolution:
    """There is no such mailbox."""
    return _one(address, "nobody", Refuse(NO_MAILBOX, "5.1.1"))


def _of_account(address: Address, account: Account) -> Resolution:
    if LOCKED in account.flags:
        return _one(address, "locked", Refuse("account is locked (#5.2.1)", "5.2.1"))
    if HOLD in account.flags:
        return _one(address, "on hold", Wait("This mailbox is on hold. (#4.2.1)", "4.2.1"))
    if not account.forward:
        return _one(address, "account", Store(account))
    forward = Forward(account.forward, account.address)
    actions = (Store(account), forward) if account.keep else (forward,)
    return Resolution(account.address, "account with forward", actions)


def _one(address: Address, rule: str, action: Action) -> Resolution:
    return Resolution(str(address), rule, (action,))
