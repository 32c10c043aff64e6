"""What goes in and out of popauth's resources under /v1: the contract, as OpenAPI has it.

A password goes in and never comes out, nor does its hash. A quota is text in vpopmail's spelling.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Posting = Literal["open", "members", "moderators"]
Kind = Literal["account", "alias", "list"]
Count = Annotated[int, Field(ge=0, le=10**9)]


class Asked(BaseModel):
    """A body: what is misspelt in it is refused, not left out."""

    model_config = ConfigDict(extra="forbid")


class NewDomain(Asked):
    """A domain to be made. `alias_of`: another name of that domain."""

    name: str
    alias_of: str = ""


class DomainName(BaseModel):
    """The domain, in lower case."""

    name: str


class NewLimits(Asked):
    """What is left out stays. 0 = any number. `flags`: what none of its accounts may do."""

    accounts: Count | None = None
    aliases: Count | None = None
    lists: Count | None = None
    quota: str | None = None
    flags: list[str] | None = None


class DomainChange(Asked):
    """What is left out stays. `unknown`: refuse, delete, or the address that gets it."""

    alias_of: str | None = None
    unknown: str | None = None
    hold: bool | None = None
    quota: str | None = None
    limits: NewLimits | None = None


class LimitsShown(BaseModel):
    """How many a domain may have, 0 = any; `quota`: of a new account."""

    accounts: int
    aliases: int
    lists: int
    quota: str
    flags: list[str]


class CountsShown(BaseModel):
    """How many a domain has; `domains`: those that are other names of it."""

    accounts: int
    aliases: int
    lists: int
    domains: int


class DomainShown(BaseModel):
    """A domain."""

    name: str
    alias_of: str
    aliases: list[str]
    unknown: str
    hold: bool
    quota: str
    limits: LimitsShown
    counts: CountsShown


class NewAccount(Asked):
    """An account to be made. `quota`: none given = the domain's limit for new accounts.

    `old_mail`: with the mail of the account that had this name before.
    """

    address: str
    password: str
    name: str = ""
    quota: str | None = None
    old_mail: bool = False


class AddressName(BaseModel):
    """The address, as it is to be given again."""

    address: str


class NewPassword(Asked):
    """The password an account gets. `reversible`: CRAM-MD5 may be used with it."""

    password: str
    reversible: bool = False


class OwnPassword(Asked):
    """A user's own: proven by the old one."""

    address: str
    old: str
    new: str


class AccountChange(Asked):
    """What is left out stays. `pop`, `smtp`, `relay`: what it may do; the others: what holds.

    `forward`: who else gets its mail; with `keep` it stays here, too.
    """

    pop: bool | None = None
    smtp: bool | None = None
    relay: bool | None = None
    locked: bool | None = None
    must_change: bool | None = None
    hold: bool | None = None
    forward: list[str] | None = None
    keep: bool | None = None
    name: str | None = None


class AccountShown(BaseModel):
    """An account. `domain_flags`: what its domain's limits forbid it besides `flags`."""

    kind: Literal["account"] = "account"
    address: str
    name: str
    home: str
    flags: list[str]
    domain_flags: list[str]
    quota: str
    forward: list[str]
    keep: bool


class NewQuota(Asked):
    """How much an account's mails may take: `10M`, `1000C`, `10M,1000C`, `NOQUOTA`."""

    quota: str


class QuotaShown(BaseModel):
    """As `10485760S,1000C` or `NOQUOTA`."""

    quota: str


class UsedShown(BaseModel):
    """Of an account or a domain. `octets`, `mails`: what is used; null where it is not known."""

    name: str
    quota: str
    octets: int | None = None
    mails: int | None = None


class NewAlias(Asked):
    """An alias to be made. `owner`: who gets the bounces; `verp`: one sender per recipient."""

    address: str
    to: list[str]
    owner: str = ""
    verp: bool = False


class AliasBody(Asked):
    """What an alias is from now on, whole."""

    to: list[str]
    owner: str = ""
    verp: bool = False


class AliasShown(BaseModel):
    """An alias."""

    kind: Literal["alias"] = "alias"
    address: str
    to: list[str]
    owner: str
    verp: bool


class NewList(Asked):
    """A mailing list to be made. `posting`: who may write to it."""

    address: str
    owner: str
    members: list[str] = []
    posting: Posting = "open"
    moderators: list[str] = []
    name: str = ""


class ListChange(Asked):
    """What is left out stays."""

    owner: str | None = None
    members: list[str] | None = None
    posting: Posting | None = None
    moderators: list[str] | None = None
    name: str | None = None


class Members(Asked):
    """Addresses."""

    members: list[str]


class MembersChanged(BaseModel):
    """`changed`: those that were not members, or were; `count`: how many there are now."""

    changed: list[str]
    count: int


class ListShown(BaseModel):
    """A mailing list."""

    kind: Literal["list"] = "list"
    address: str
    owner: str
    members: list[str]
    posting: Posting
    moderators: list[str]
    name: str


EntryShown = Annotated[AccountShown | AliasShown | ListShown, Field(discriminator="kind")]


class AddressRow(BaseModel):
    """A line of the list of addresses."""

    address: str
    kind: Kind


class AddressPage(BaseModel):
    """In order. `next`: give it as `after` for the page that follows; "" = that was the last."""

    addresses: list[AddressRow]
    next: str


class BulkAccount(Asked):
    """One of many: a `password`, or an argon2id `hash` made elsewhere."""

    address: str
    password: str = ""
    hash: str = ""
    quota: str | None = None
    name: str = ""


class BulkAccounts(Asked):
    """Up to 500; they may be of several domains."""

    accounts: Annotated[list[BulkAccount], Field(max_length=500)]


class BulkRefusal(BaseModel):
    """One that was not made."""

    address: str
    detail: str


class BulkDone(BaseModel):
    """`existing`: addresses where something was already; they are as they were."""

    added: list[str]
    existing: list[str]
    refused: list[BulkRefusal]


class ActionShown(BaseModel):
    """What is done with mail: `name` says which of the other fields there are."""

    name: str
    account: str = ""
    home: str = ""
    to: list[str] = []
    via: str = ""
    owner: str = ""
    verp: bool = False
    mailing_list: str = ""
    text: str = ""
    status: str = ""


class ResolutionShown(BaseModel):
    """What an address stands for; `rule`: the row of docs/resolution.md."""

    address: str
    rule: str
    exists: bool
    actions: list[ActionShown]


class ChangeShown(BaseModel):
    """`at`: seconds since 1970. `what`: the domain or address; `diff`: what changed, in words."""

    at: float
    actor: str
    action: str
    what: str
    diff: str


class NewToken(Asked):
    """A token of a domain administrator. `expires`: seconds since 1970, 0 = never."""

    name: str
    domains: Annotated[list[str], Field(min_length=1, max_length=1000)]
    expires: float = 0


class TokenShown(BaseModel):
    """A token without what proves it. `id` is given to revoke it."""

    id: str
    name: str
    domains: list[str]
    expires: float


class TokenMade(TokenShown):
    """The only time that `token` is shown."""

    token: str


class RelayShown(BaseModel):
    """Who may relay because of a login."""

    ip: str
    user: str
    at: float
    until: float
    by: str
    users: dict[str, float]
    warned: float


class NewLines(Asked):
    """The lines of a control setting, in qmail's syntax; none = its default."""

    lines: list[str]


class SettingShown(BaseModel):
    """`lines` is null where the default is in force."""

    name: str
    lines: list[str] | None
    help: str
