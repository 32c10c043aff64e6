"""Who may do what at SMTP: one ordered chain of named policies over facts gathered before. Pure.

A policy looks at the facts and returns a Refusal or None. The first refusal is the reply; its name
is the verdict in logs and metrics. New policies join the chain, nothing else changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tubepost.tcprules import Rule


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reply` is the whole SMTP reply, `verdict` its name in logs and metrics."""

    verdict: str
    reply: str


@dataclass(frozen=True, slots=True)
class Client:
    """The peer of a session. `user`: who logged in by AUTH on this connection, "" = nobody."""

    ip: str
    rule: Rule = field(default_factory=Rule)
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptFacts:
    """Everything a decision about one recipient needs.

    `relay_user`: who opened the relay for the client's address by logging in, "" = nobody.
    """

    client: Client
    sender: str
    accepted_so_far: int
    max_recipients: int
    bad_senders: frozenset[str]
    local: bool
    in_rcpthosts: bool
    mailbox_exists: bool = False
    relay_user: str = ""

    @property
    def ours(self) -> bool:
        """Mail for this recipient is taken from anybody."""
        return self.local or self.in_rcpthosts

    @property
    def needs_relay(self) -> bool:
        """Only the relay list can allow this recipient now: it has to be asked."""
        return not (self.ours or self.client.rule.relays or self.client.user)


Policy = Callable[[RcptFacts], Refusal | None]


def bad_sender(facts: RcptFacts) -> Refusal | None:
    """badmailfrom, tested before the relay is (SMTPD-5, SMTPD-6)."""
    sender = facts.sender.lower()
    domain = "@" + sender.rpartition("@")[2]
    if sender and (sender in facts.bad_senders or domain in facts.bad_senders):
        return Refusal(
            "badmailfrom",
            "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
        )
    return None


def too_many_recipients(facts: RcptFacts) -> Refusal | None:
    """452, so that the client sends the rest in a second transaction (RFC 5321 4.5.3.1.10)."""
    if facts.accepted_so_far >= facts.max_recipients:
        return Refusal("maxrcpt", "452 sorry, too many recipients (#4.5.3)")
    return None


def not_relayed(facts: RcptFacts) -> Refusal | None:
    """No open relay: the one place that decides it."""
    if facts.needs_relay and not facts.relay_user:
        return Refusal(
            "rcpthosts",
            "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        )
    return None


def no_mailbox(facts: RcptFacts) -> Refusal | None:
    """Refused here, so that no bounce goes to a forged sender."""
    if facts.local and not facts.mailbox_exists:
        return Refusal("mailbox", "550 sorry, no mailbox here by that name (#5.1.1)")
    return None


def blocked_by_rule(facts: RcptFacts) -> Refusal | None:
    """RBLSMTPD="text" in tcprules: 451 with that text, 553 where it begins with a dash (RBL-1).

    Who has logged in is not asked, as open-smtp has it.
    """
    text = facts.client.rule.variables.get("RBLSMTPD", "")
    if not text or facts.client.user or facts.relay_user:
        return None
    code, text = (553, text[1:]) if text.startswith("-") else (451, text)
    return Refusal("rblsmtpd", f"{code} {text}")


RCPT_CHAIN: tuple[Policy, ...] = (
    blocked_by_rule,
    bad_sender,
    too_many_recipients,
    not_relayed,
    no_mailbox,
)


def on_rcpt(facts: RcptFacts) -> Refusal | None:
    """The first refusal of the chain."""
    return next((refusal for policy in RCPT_CHAIN if (refusal := policy(facts))), None)


def on_connect(rule: Rule) -> Refusal | None:
    """A static deny wins over everything, the relay list included."""
    if not rule.allow:
        return Refusal("tcprules", "554 sorry, your address is not allowed here (#5.7.1)")
    return None


def on_mail(client: Client, *, auth_required: bool) -> Refusal | None:
    """A submission listener serves only those who are logged in (RFC 6409 4.3)."""
    if auth_required and not client.user:
        return Refusal("auth_required", "530 authorization required (#5.7.1)")
    return None


def on_size(declared: int, limit: int) -> Refusal | None:
    """SIZE= of MAIL (RFC 1870), or the octets counted; `limit` 0 = none."""
    return TOO_BIG if limit and declared > limit else None


TOO_BIG = Refusal("databytes", "552 sorry, that message size exceeds my databytes limit (#5.3.4)")


def in_hosts(domain: str, hosts: frozenset[str]) -> bool:
    """rcpthosts: `host` itself, or `.suffix` for everything below it."""
    labels = domain.split(".")
    suffixes = ("." + ".".join(labels[n:]) for n in range(1, len(labels)))
    return domain in hosts or any(suffix in hosts for suffix in suffixes)
