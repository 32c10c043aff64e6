"""Says in plain words why a client may send, or may not. Pure.

The words follow the policies; they decide nothing.
"""

from collections.abc import Mapping

from services.smtpd.facts import Client, RcptFacts
from tubepost.relay_list import Entry
from tubepost.resolution import Rule

NOTHING = "no rule, no login and no entry of the relay list lets it relay"

TAKEN: Mapping[str, str] = {
    Rule.DOMAIN_HOLD: "on hold: mail for it waits in the queue",
    Rule.HOLD: "the mailbox exists, but is on hold: mail for it waits in the queue",
    Rule.ACCOUNT_FORWARD: "the mailbox exists and has a forward",
    Rule.ACCOUNT: "the mailbox exists",
    Rule.ALIAS: "the address is an alias",
    Rule.LIST: "the address is a mailing list",
    Rule.SRS: "the address stands for the sender of a mail that was forwarded",
    Rule.LIST_OWNER: "the address is that of a mailing list's owner",
    Rule.LIST_RETURN: "the address is where reports about a mailing list go",
    Rule.DEFAULT: "an alias takes the extensions of that name",
    Rule.EXTENSION: "it is an extension of an address that exists",
    Rule.CATCH_ALL: "its catch-all takes what is for nobody",
    Rule.DELETED: "it deletes what is for nobody",
}
"""Why a recipient of ours is taken, by the rule of docs/resolution.md."""


def recipient(facts: RcptFacts) -> dict[str, object]:
    """What is known of a recipient: whose mail it is, and whether it is relayed."""
    return {
        "address": facts.recipient,
        "local": facts.local,
        "mailbox": facts.mailbox_exists,
        "rule": facts.rule,
        "in_rcpthosts": facts.in_rcpthosts,
        "relayed": not facts.ours and facts.relays,
    }


def sentence(client: Client, facts: RcptFacts | None, entry: Entry | None, against: str) -> str:
    """The end of the matter. `against`: moment and reply of who refuses first, "" = nobody."""
    if against and facts:
        why = f" ({NOTHING})" if facts.needs_relay and not facts.relay_user else ""
        return f"{client.ip} may not send to {facts.recipient}{why}, refused at {against}"
    if against:
        return f"{client.ip} is refused at {against}"
    if facts:
        return f"{client.ip} may send to {facts.recipient}: {_taken(facts, entry)}"
    reason = _relays(client, entry)
    if reason:
        return f"{client.ip} may connect, and relay to other domains: {reason}"
    return f"{client.ip} may connect, and send to our own domains only: {NOTHING}"


def _taken(facts: RcptFacts, entry: Entry | None) -> str:
    domain = facts.recipient.rpartition("@")[2]
    if facts.postmaster:
        return "postmaster without a domain is taken from anybody"
    if facts.local:
        return f"{domain} is a domain of ours, and {TAKEN.get(facts.rule, facts.rule)}"
    if facts.in_rcpthosts:
        return f"rcpthosts lists {domain}"
    return _relays(facts.client, entry)


def _relays(client: Client, entry: Entry | None) -> str:
    """Why a client may relay; "" = it may not."""
    if client.rule.relays:
        return f"the rule {client.rule.line} lets it relay"
    if client.user:
        return f"{client.user} has logged in by AUTH"
    if entry:
        return f"{entry.user} logged in by POP3 from this address"
    return ""
