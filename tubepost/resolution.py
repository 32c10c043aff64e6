"""What an address of ours stands for: the one place that decides it. Pure.

`resolve` says what is done with mail for the address; tubepost.candidates, what has to be looked up
for it. The rows of the order stand in docs/resolution.md; each Resolution names its row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tubepost.address import Address
from tubepost.candidates import Way, candidates
from tubepost.conventions import PLAIN, Conventions
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


class Rule(StrEnum):
    """The rows of docs/resolution.md, in their order."""

    DOMAIN_HOLD = "domain on hold"
    LOCKED = "locked"
    HOLD = "on hold"
    ACCOUNT_FORWARD = "account with forward"
    ACCOUNT = "account"
    ALIAS = "alias"
    LIST = "list"
    SRS = "srs"
    LIST_OWNER = "list owner"
    LIST_RETURN = "list return"
    DEFAULT = "default alias"
    EXTENSION = "extension"
    CATCH_ALL = "catch-all"
    DELETED = "nobody: deleted"
    NOBODY = "nobody"


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
class ToOwner:
    """To the owner of a list: mail for him, or a report about what the list sent."""

    mailing_list: MailingList

    @property
    def name(self) -> str:
        return "owner"


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


Action = Store | Forward | Post | ToOwner | Discard | Refuse | Wait


@dataclass(frozen=True, slots=True)
class Resolution:
    """`address`: what the mail is for, after domain aliases: Delivered-To says it.

    `rule`: the row of the table. Each action has an outcome of its own.
    """

    address: str
    rule: Rule
    actions: tuple[Action, ...]

    @property
    def exists(self) -> bool:
        return not any(isinstance(a, Refuse) and a.status == "5.1.1" for a in self.actions)


def resolve(
    address: Address, domain: Domain, found: Mapping[str, Entry], by: Conventions = PLAIN
) -> Resolution:
    """What is done with mail for `address`, in its domain's own name (not an alias's).

    `found`: what is in the directory at `address` and at its candidates, by Address.key.
    """
    if domain.hold:
        wait = Wait("Mail for this domain is on hold. (#4.2.1)", "4.2.1")
        return _one(address, Rule.DOMAIN_HOLD, wait)
    match found.get(address.key):
        case Account() as account:
            return _of_account(address, account, by)
        case Alias() as alias:
            return _of_alias(address, Rule.ALIAS, alias, by)
        case MailingList() as mailing_list:
            return _one(address, Rule.LIST, Post(mailing_list))
    sender = by.reverse(address)
    if sender:
        return _one(address, Rule.SRS, Forward((sender,), str(address)))
    return _by_candidate(address, found, by) or _of_nobody(address, domain, by)


def nobody(address: Address) -> Resolution:
    """There is no such mailbox."""
    return _one(address, Rule.NOBODY, Refuse(NO_MAILBOX, "5.1.1"))


def _of_account(
    address: Address, account: Account, by: Conventions, rule: Rule | None = None
) -> Resolution:
    """`rule`: by which it was found, where that was not its own address."""
    if LOCKED in account.flags:
        return _one(address, Rule.LOCKED, Refuse("account is locked (#5.2.1)", "5.2.1"))
    if HOLD in account.flags:
        return _one(address, Rule.HOLD, Wait("This mailbox is on hold. (#4.2.1)", "4.2.1"))
    store = Store(account)
    named = by.targets(account.forward) if account.forward else {}
    to = _others(named, address.key, by.key(account.address)) if named else ()
    if not to:
        return _one(address, rule or Rule.ACCOUNT, store)
    forward = Forward(to, account.address)
    keeps = account.keep or len(to) < len(named)
    actions = (store, forward) if keeps else (forward,)
    return Resolution(str(address), rule or Rule.ACCOUNT_FORWARD, actions)


def _of_alias(address: Address, rule: Rule, alias: Alias, by: Conventions) -> Resolution:
    to = _others(by.targets(alias.to), address.key, by.key(alias.address))
    if not to:
        return _one(address, rule, Wait("This alias leads to nobody else. (#4.3.5)", "4.3.5"))
    return _one(address, rule, Forward(to, alias.address, alias.owner, alias.verp))


def _by_candidate(
    address: Address, found: Mapping[str, Entry], by: Conventions
) -> Resolution | None:
    for candidate in candidates(address, by.separators) if found else ():
        entry = found.get(candidate.address.key)
        if not candidate.is_for(entry):
            continue
        match entry:
            case MailingList():
                is_owner = candidate.way is Way.OWNER
                rule = Rule.LIST_OWNER if is_owner else Rule.LIST_RETURN
                return _one(address, rule, ToOwner(entry))
            case Alias():
                is_default = candidate.way is Way.DEFAULT
                return _of_alias(address, Rule.DEFAULT if is_default else Rule.EXTENSION, entry, by)
            case Account():
                return _of_account(address, entry, by, Rule.EXTENSION)
    return None


def _of_nobody(address: Address, domain: Domain, by: Conventions) -> Resolution:
    if domain.unknown == REFUSE:
        return nobody(address)
    if domain.unknown == DELETE:
        return _one(address, Rule.DELETED, Discard())
    if by.key(domain.unknown) == address.key:
        text = "The catch-all address of this domain is not there. (#4.3.5)"
        return _one(address, Rule.CATCH_ALL, Wait(text, "4.3.5"))
    return _one(address, Rule.CATCH_ALL, Forward((domain.unknown,), str(address)))


def _others(named: Mapping[str, str], *own: str) -> tuple[str, ...]:
    """Without the address itself and that of its entry: mail to them would come back."""
    return tuple(target for key, target in named.items() if key not in own)


def _one(address: Address, rule: Rule, action: Action) -> Resolution:
    return Resolution(str(address), rule, (action,))
