"""What the directory holds, and how it stands in the bucket: domains, and what is at an address.

One key for each domain, one for each address: an address is an account, an alias or a list, never
two of them. Values are JSON; what a newer release writes besides is ignored. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tubepost.address import Address
from tubepost.errors import TubepostError
from tubepost.keyed import Value, quoted, unquoted
from tubepost.quota import ANY, Quota

NO_POP = "no_pop"
"""No POP3."""

NO_SMTP = "no_smtp"
"""No AUTH at SMTP."""

NO_RELAY = "no_relay"
"""A POP3 login does not open the relay."""

LOCKED = "locked"
"""No login anywhere, and mail is refused: `account is locked` (VDM-3)."""

MUST_CHANGE = "must_change"
"""No login before the user has changed the password."""

HOLD = "hold"
"""Mail waits in the queue (LCL-9: the sticky bit)."""

FLAGS = frozenset({NO_POP, NO_SMTP, NO_RELAY, LOCKED, MUST_CHANGE, HOLD})

REFUSE = "refuse"
"""Mail for nobody is refused: vpopmail's bounce-no-mailbox."""

DELETE = "delete"
"""Mail for nobody is thrown away."""

OPEN = "open"
MEMBERS = "members"
MODERATORS = "moderators"
POSTING = (OPEN, MEMBERS, MODERATORS)
"""Who may write to a list."""

DOMAINS = "domain.>"
ADDRESSES = "account.>"
"""Keys of all addresses; they are called so since there were only accounts."""


class UnreadableEntry(TubepostError):
    """What stands in the directory is none of what this release knows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a domain: how many it may have, 0 = any. `quota`: what a new account gets.

    `flags`: what none of its accounts may do, of FLAGS.
    """

    accounts: int = 0
    aliases: int = 0
    lists: int = 0
    quota: Quota = ANY
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Domain:
    """`alias_of`: every address here is that domain's, "" = it has its own.

    `unknown`: what becomes of mail for nobody: REFUSE, DELETE, or the address that gets it.
    `quota`: what the mails of all its accounts together may take; `quota_since`: since when it has
    one, seconds since 1970: what was counted before says nothing.
    """

    name: str
    alias_of: str = ""
    unknown: str = REFUSE
    hold: bool = False
    quota: Quota = ANY
    limits: Limits = Limits()
    quota_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Account:
    """`home`: folder below the mail root, in it `Maildir`. `password`: an argon2id hash.

    `flags`: what this account may not do, of FLAGS (VADM-3, AUTH-7). `quota`: what its mails may
    take; `quota_since`: since when it has one. `forward`: who else gets its mail; with `keep` it
    stays here, too.
    """

    address: str
    home: str
    password: str
    flags: frozenset[str] = frozenset()
    quota: Quota = ANY
    forward: tuple[str, ...] = ()
    keep: bool = True
    name: str = ""
    quota_since: float = 0.0


@dataclass(frozen=True, slots=True)
class Alias:
    """`to`: who gets the mail, addresses as on the wire.

    `owner`: who gets the bounces of what is sent on ("" = the sender); `verp`: each recipient gets
    it from a sender of its own, below the owner's (LCL-8).
    """

    address: str
    to: tuple[str, ...]
    owner: str = ""
    verp: bool = False


@dataclass(frozen=True, slots=True)
class MailingList:
    """`members` get each mail, bounces go to `owner`; `posting`: who may write, of POSTING."""

    address: str
    owner: str
    members: tuple[str, ...] = ()
    posting: str = OPEN
    moderators: tuple[str, ...] = ()
    name: str = ""


Entry = Account | Alias | MailingList


def domain_key(domain: str) -> str:
    return f"domain.{quoted(domain)}"


def account_key(address: Address) -> str:
    """Of what is at an address."""
    return f"account.{quoted(address.domain)}.{quoted(address.box)}"


def domain_in(key: str) -> str:
    return unquoted(key.split(".")[1])


def address_in(key: str) -> Address:
    _, domain, local = key.split(".")
    return Address(unquoted(local), unquoted(domain))


def domain_value(domain: Domain) -> Value:
    limits = domain.limits
    return _without_empty(
        alias_of=domain.alias_of,
        unknown="" if domain.unknown == REFUSE else domain.unknown,
        hold=domain.hold,
        quota=_of_quota(domain.quota),
        quota_since=domain.quota_since,
        limits=_without_empty(
            accounts=limits.accounts,
            aliases=limits.aliases,
            lists=limits.lists,
            quota=_of_quota(limits.quota),
            flags=sorted(limits.flags),
        ),
    )


def domain_of(name: str, value: Value) -> Domain:
    limits: Mapping[str, Any] = value.get("limits", {})
    return Domain(
        name,
        alias_of=str(value.get("alias_of", "")),
        unknown=str(value.get("unknown", REFUSE)),
        hold=bool(value.get("hold")),
        quota=_quota_of(value.get("quota")),
        limits=Limits(
            int(limits.get("accounts", 0)),
            int(limits.get("aliases", 0)),
            int(limits.get("lists", 0)),
            _quota_of(limits.get("quota")),
            frozenset(limits.get("flags", ())),
        ),
        quota_since=float(value.get("quota_since", 0.0)),
    )


def entry_value(entry: Entry) -> Value:
    match entry:
        case Account():
            return {
                "home": entry.home,
                "password": entry.password,
                **_without_empty(
                    flags=sorted(entry.flags),
                    quota=_of_quota(entry.quota),
                    forward=list(entry.forward),
                    copy_stays_out=not entry.keep,
                    name=entry.name,
                    quota_since=entry.quota_since,
                ),
            }
        case Alias():
            return {
                "kind": "alias",
                "to": list(entry.to),
                **_without_empty(owner=entry.owner, verp=entry.verp),
            }
        case MailingList():
            return {
                "kind": "list",
                "owner": entry.owner,
                "members": list(entry.members),
                "posting": entry.posting,
                **_without_empty(moderators=list(entry.moderators), name=entry.name),
            }


def entry_of(address: Address, value: Value) -> Entry:
    """What `entry_value` made. Raises UnreadableEntry for a kind of a newer release."""
    text = str(address)
    match value.get("kind", "account"):
        case "account":
            return Account(
                text,
                str(value["home"]),
                str(value["password"]),
                flags=frozenset(value.get("flags", ())),
                quota=_quota_of(value.get("quota")),
                forward=tuple(value.get("forward", ())),
                keep=not value.get("copy_stays_out"),
                name=str(value.get("name", "")),
                quota_since=float(value.get("quota_since", 0.0)),
            )
        case "alias":
            to, owner = tuple(value["to"]), str(value.get("owner", ""))
            return Alias(text, to, owner, bool(value.get("verp")))
        case "list":
            return MailingList(
                text,
                str(value["owner"]),
                tuple(value["members"]),
                str(value["posting"]),
                tuple(value.get("moderators", ())),
                str(value.get("name", "")),
            )
        case kind:
            raise UnreadableEntry(f"{text} is {kind!r}, which this release does not know")


def _of_quota(quota: Quota) -> object:
    """Octets alone are a number, as the first releases wrote it."""
    return [quota.octets, quota.mails] if quota.mails else quota.octets


def _quota_of(value: object) -> Quota:
    match value:
        case None:
            return ANY
        case [int(octets), int(mails)]:
            return Quota(octets, mails)
        case int(octets):
            return Quota(octets)
        case _:
            raise UnreadableEntry(f"{value!r} is not a quota")


def _without_empty(**fields: object) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
