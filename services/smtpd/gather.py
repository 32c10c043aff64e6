"""Gathers the facts of a recipient: asks the directory, the control settings, the relay list.

It judges nothing. What would be refused is confirmed first, by the leader's word.
"""

from dataclasses import dataclass, replace

from services.smtpd.facts import Client, RcptFacts, Sending
from services.smtpd.policies.recipient import in_hosts
from services.smtpd.room import Room
from tubepost import smtp_values, verp
from tubepost.address import Address, AddressError, parse_address
from tubepost.control import Control
from tubepost.directory import Account, Directory
from tubepost.relay_list import RelayList, is_ours


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Whom it asks. Raises Unavailable where one of them does not know."""

    control: Control
    directory: Directory
    relay_list: RelayList
    room: Room | None = None

    async def about_recipient(
        self,
        client: Client,
        sender: str,
        recipient: Address,
        *,
        accepted_so_far: int,
        size: int = 0,
    ) -> RcptFacts:
        """`sender` as the client gave it."""
        get = self.control.get
        facts = RcptFacts(
            client=client,
            sender=verp.owner(sender),
            recipient=str(recipient),
            accepted_so_far=accepted_so_far,
            max_recipients=get(smtp_values.MAXRCPT),
            bad_senders=get(smtp_values.BADMAILFROM),
            local=recipient.domain in self.directory.domains,
            in_rcpthosts=in_hosts(recipient.domain, get(smtp_values.RCPTHOSTS)),
            relay_denied=get(smtp_values.RELAYDENIED),
        )
        if facts.needs_relay and await self.directory.confirmed_domain(recipient.domain):
            facts = replace(facts, local=True)
        if facts.local:
            account = await self.directory.confirmed_account(recipient)
            if account and account.quota and self.room:
                return await self._with_room(facts, account, self.room, size)
            return replace(facts, mailbox_exists=account is not None)
        if facts.needs_relay and self.may_use_list(client.ip):
            entry = await self.relay_list.lookup(client.ip)
            user = entry.user if entry else ""
            sending = self._sending(user, facts.sender, get(smtp_values.RELAYMAILFROM))
            return replace(facts, relay_user=user, sending=sending)
        return facts

    def about_login(self, user: str, sender: str) -> Sending | None:
        """`user`: who is logged in by AUTH; `sender` as he gave it. None: nothing limits him."""
        if not user:
            return None
        return self._sending(user, verp.owner(sender), self.control.get(smtp_values.AUTHMAILFROM))

    def _sending(self, user: str, sender: str, limit: str) -> Sending | None:
        if not user or limit == "any":
            return None
        return Sending(user, sender, limit, self._owner(sender) if limit == "account" else "")

    def _owner(self, sender: str) -> str:
        try:
            return self.directory.owner(parse_address(sender))
        except AddressError:  # the null sender: nobody's
            return ""

    async def _with_room(
        self, facts: RcptFacts, account: Account, room: Room, size: int
    ) -> RcptFacts:
        return replace(
            facts,
            mailbox_exists=True,
            size=size,
            quota=account.quota,
            used=await room.used(account.address),
            over_quota_is_final=self.control.get(smtp_values.OVERQUOTA) == "refuse",
        )

    def may_use_list(self, ip: str) -> bool:
        """A proxy's or a node's address stands for all behind it, whatever the list says."""
        get = self.control.get
        ours = get(smtp_values.PROXYNETWORKS) + get(smtp_values.CLUSTERNETWORKS)
        return not (ours and is_ours(ip, allowed=get(smtp_values.RELAYNETWORKS), ours=ours))
