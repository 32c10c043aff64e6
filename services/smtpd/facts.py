"""What policies look at: plain values, gathered before anybody judges. Pure.

A new policy that needs to know more gets a field here, with a default that refuses nobody, and
gather.py fills it.
"""

from dataclasses import dataclass, field
from enum import Enum

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


@dataclass(frozen=True, slots=True)
class Client:
    """The peer of a session. `user`: who logged in by AUTH on this connection, "" = nobody."""

    ip: str
    rule: Rule = field(default_factory=Rule)
    user: str = ""
    kind: Kind = Kind.MX
    helo: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """At MAIL. `size`: octets the client declared, 0 = it did not say; `size_limit` 0 = none."""

    client: Client
    sender: str = ""
    size: int = 0
    size_limit: int = 0


_NO_LINES, _NO_PATTERNS = Senders(), Patterns()


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptFacts:
    """At RCPT: everything a decision about one recipient needs.

    `sender` is the owner where it is a VERP sender. `relay_user`: who opened the relay for the
    client's address by logging in, "" = nobody.
    """

    client: Client
    sender: str
    recipient: str = ""
    accepted_so_far: int = 0
    max_recipients: int = 1000
    bad_senders: frozenset[str] = frozenset()
    sender_lines: Senders = _NO_LINES
    bad_recipients: Patterns = _NO_PATTERNS
    local: bool = False
    in_rcpthosts: bool = False
    mailbox_exists: bool = False
    relay_user: str = ""

    @property
    def sender_exempt(self) -> bool:
        """badmailfrom says that nothing is asked about this sender."""
        return self.sender.lower() in self.sender_lines.exempt

    @property
    def ours(self) -> bool:
        """Mail for this recipient is taken from anybody."""
        return self.local or self.in_rcpthosts

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
