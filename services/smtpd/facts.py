"""What policies look at: plain values, gathered before anybody judges. Pure.

A new policy that needs to know more gets a field here, with a default that refuses nobody, and
gather.py fills it.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tubepost import relay_denied
from tubepost.quota import ANY, NOTHING, Quota, Used
from tubepost.sender_patterns import Patterns, Senders
from tubepost.tcprules import Rule


class Kind(Enum):
    """What a listener is for: mail from other hosts, or from users (RFC 6409, RFC 8314)."""

    MX = "mx"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"

    @property
    def auth_required(self) -> bool:
        return self is not Kind.MX

    @property
    def implicit_tls(self) -> bool:
        """TLS begins with the connection, not by STARTTLS."""
        return self is Kind.SUBMISSIONS


class Use(NamedTuple):
    """How much of a limit is used up. `limit` 0 = there is none."""

    used: int = 0
    limit: int = 0

    @property
    def up(self) -> bool:
        """Nothing is left of it."""
        return 0 < self.limit <= self.used


NO_USE = Use()


class Load(NamedTuple):
    """When a client comes: sessions of this process, and of this client in it; its rates."""

    sessions: Use = NO_USE
    own_sessions: Use = NO_USE
    connections: Use = NO_USE
    errors: Use = NO_USE


NO_LOAD = Load()


@dataclass(frozen=True, slots=True)
class Client:
    """The peer of a session. `user`: who logged in by AUTH on this connection, "" = nobody.

    `proxy`: this is a load balancer itself, not somebody behind it; it stands for many.
    """

    ip: str
    rule: Rule = field(default_factory=Rule)
    user: str = ""
    kind: Kind = Kind.MX
    helo: str = ""
    proxy: bool = False
    talked_early: bool = False
    load: Load = NO_LOAD


@dataclass(frozen=True, slots=True)
class Sending:
    """Who sends as whom, where a setting limits it to his `domain` or his `account`.

    `owner`: the account the sender belongs to, "" = none of ours.
    """

    user: str
    sender: str
    limit: str
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """At MAIL. `size`: octets the client declared, 0 = it did not say; `size_limit` 0 = none.

    `sending`: of who is logged in; None = any sender will do.
    """

    client: Client
    sender: str = ""
    size: int = 0
    size_limit: int = 0
    sending: Sending | None = None
    mails: Use = NO_USE
    submitted: Use = NO_USE


_NO_LINES, _NO_PATTERNS = Senders(), Patterns()


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptFacts:
    """At RCPT: everything a decision about one recipient needs.

    `sender` is the owner where it is a VERP sender. `relay_user`: who opened the relay for the
    client's address by logging in, "" = nobody; `relaying`: so it was for a recipient before.
    `sending`: his; None = any sender will do. `size`: what was declared at MAIL. `quota` and
    `used`: octets the mailbox may hold (0 = any) and holds.
    """

    client: Client
    sender: str
    recipient: str = ""
    accepted_so_far: int = 0
    max_recipients: int = 1000
    sender_lines: Senders = _NO_LINES
    bad_recipients: Patterns = _NO_PATTERNS
    local: bool = False
    in_rcpthosts: bool = False
    mailbox_exists: bool = False
    relay_user: str = ""
    sending: Sending | None = None
    size: int = 0
    quota: Quota = ANY
    used: Used = NOTHING
    domain_quota: Quota = ANY
    domain_used: Used = NOTHING
    over_quota_is_final: bool = False
    relay_denied: str = relay_denied.DEFAULT
    recipients: Use = NO_USE
    badrcpt: Use = NO_USE
    relayed: Use = NO_USE
    relaying: bool = False
    listed: bool = False
    """Its address is on the relay list: asked where a rule would refuse it all the same."""
    postmaster: bool = False
    """Named without a domain: then the address is the operator's choice."""

    @property
    def sender_exempt(self) -> bool:
        """badmailfrom says that nothing is asked about this sender."""
        return self.sender.lower() in self.sender_lines.exempt

    @property
    def ours(self) -> bool:
        """Mail for this recipient is taken from anybody."""
        return self.local or self.in_rcpthosts or self.postmaster

    @property
    def relays(self) -> bool:
        """The client may send to any domain: a rule, a login here, or a login at POP3 says so."""
        return self.client.rule.relays or bool(self.client.user or self.relay_user)

    @property
    def needs_relay(self) -> bool:
        """Only the relay list can allow this recipient now: it has to be asked."""
        return not (self.ours or self.client.rule.relays or self.client.user)


class Domain(Enum):
    """What DNS says of a domain. UNKNOWN: its name servers, or ours, did not answer."""

    EXISTS = "exists"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrangerFacts:
    """At RCPT, of a client that may not relay: what costs a look-up, asked after all else.

    `listing`: the reply for a client on a DNS list, "" = on none. `name`: the client's reverse
    name, "" = it has none, None = not asked or not known.
    """

    rcpt: RcptFacts
    listing: str = ""
    bad_helo: Patterns = _NO_PATTERNS
    helo_check: str = "0"
    helo_domain: Domain = Domain.EXISTS
    name: str | None = None
    sender_domain: Domain = Domain.EXISTS


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """After the mail was read. `hops`: header fields that a hop adds."""

    client: Client
    sender: str
    too_big: bool = False
    bare_line_ends: bool = False
    hops: int = 0
    no_room: bool = False
    nul: bool = False
    long_line: bool = False
    big_header: bool = False
