"""Gathers the facts of a recipient: asks the directory, the control settings, the relay list.

It judges nothing. What would be refused is confirmed first, by the leader's word.
"""

from dataclasses import dataclass, replace

from services.smtpd.facts import Client, RcptFacts
from services.smtpd.policies.recipient import in_hosts
from tubepost import smtp_values, verp
from tubepost.address import Address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.relay_list import RelayList


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Whom it asks. Raises Unavailable where one of them does not know."""

    control: Control
    directory: Directory
    relay_list: RelayList

    async def about_recipient(
        self, client: Client, sender: str, recipient: Address, *, accepted_so_far: int
    ) -> RcptFacts:
        """`sender` as the client gave it."""
        get = self.control.get
        senders = get(smtp_values.BADMAILFROM)
        facts = RcptFacts(
            client=client,
            sender=verp.owner(sender),
            recipient=str(recipient),
            accepted_so_far=accepted_so_far,
            max_recipients=get(smtp_values.MAXRCPT),
            bad_senders=senders.exact,
            sender_lines=senders,
            bad_recipients=get(smtp_values.BADRCPTTO),
            local=recipient.domain in self.directory.domains,
            in_rcpthosts=in_hosts(recipient.domain, get(smtp_values.RCPTHOSTS)),
        )
        if facts.needs_relay and await self.directory.confirmed_domain(recipient.domain):
            facts = replace(facts, local=True)
        if facts.local:
            account = await self.directory.confirmed_account(recipient)
            return replace(facts, mailbox_exists=account is not None)
        if facts.needs_relay:
            entry = await self.relay_list.lookup(client.ip)
            return replace(facts, relay_user=entry.user if entry else "")
        return facts
