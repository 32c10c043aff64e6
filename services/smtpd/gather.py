"""Gathers facts for the policies: asks the directory, the control settings, the relay list.

It judges nothing. What would be refused is confirmed first, by the leader's word.
"""

from dataclasses import dataclass, field, replace

from services.smtpd.content import has_big_header, has_long_line, has_nul
from services.smtpd.data import DataReader
from services.smtpd.facts import Client, DataFacts, Kind, MailFacts, RcptFacts, Sending
from services.smtpd.mailbox import known
from services.smtpd.meter import Meter, unmetered
from services.smtpd.policies.recipient import in_hosts
from services.smtpd.room import Room
from services.smtpd.transaction import Transaction
from tubepost import smtp_values, verp
from tubepost.address import Address, AddressError, parse_address
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.directory_values import Account
from tubepost.local_values import EXTENSIONS
from tubepost.quota import ANY, NOTHING, Quota
from tubepost.rate_limits import BADRCPT, MAILS, RECIPIENTS, RELAYED, SUBMITTED
from tubepost.relay_list import Entry, RelayList, in_networks, is_ours
from tubepost.resolution import Store
from tubepost.resolver import Resolver
from tubepost.trace_headers import hops


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Whom it asks. Raises Unavailable where one of them does not know."""

    control: Control
    directory: Directory
    relay_list: RelayList
    room: Room | None = None
    meter: Meter = field(default_factory=unmetered)

    def about_client(self, ip: str, kind: Kind) -> Client:
        """Who has connected. A load balancer's own address stands for many: it never relays."""
        rule = self.control.get(smtp_values.TCPRULES).of(ip)
        is_proxy = self.is_proxy(ip)
        if is_proxy and rule.relays:
            variables = {name: v for name, v in rule.variables.items() if name != "RELAYCLIENT"}
            rule = replace(rule, variables=variables)
        return Client(ip, rule, kind=kind, proxy=is_proxy)

    def is_proxy(self, ip: str) -> bool:
        """Whether a PROXY header from there is believed."""
        return in_networks(ip, self.control.get(smtp_values.PROXYNETWORKS))

    def may_use_list(self, client: Client) -> bool:
        """A balancer's or a node's address stands for all behind it, whatever the list says."""
        ours, allowed = self.control.own_networks, self.control.get(smtp_values.RELAYNETWORKS)
        return not client.proxy and not is_ours(client.ip, allowed=allowed, ours=ours)

    async def relay_entry(self, client: Client) -> Entry | None:
        """Who opened the relay for this client by logging in, where that counts for it."""
        return await self.relay_list.lookup(client.ip) if self.may_use_list(client) else None

    async def about_mail(
        self, client: Client, sender: str, *, size: int = 0, size_limit: int = 0
    ) -> MailFacts:
        """`sender` as the client gave it."""
        limit = self.control.get(smtp_values.AUTHMAILFROM)
        return MailFacts(
            client=client,
            sender=sender,
            size=size,
            size_limit=size_limit,
            sending=await self._sending(client.user, verp.owner(sender), limit),
            mails=self.meter.use(MAILS, client),
            submitted=self.meter.use(SUBMITTED, client),
        )

    async def about_recipient(
        self,
        client: Client,
        transaction: Transaction,
        recipient: Address,
        *,
        postmaster: bool = False,
    ) -> RcptFacts:
        """What the cheap sources know, and the others where that has not decided already.

        `postmaster`: the recipient was named so, without a domain.
        """
        facts = self._at_hand(client, transaction, recipient)
        if postmaster:
            facts = replace(facts, postmaster=True)
        if facts.recipients.up or facts.badrcpt.up:
            return facts
        if facts.needs_relay and await self.directory.confirmed_domain(recipient.domain):
            facts = replace(facts, local=True)
        if facts.ours and client.rule.variables.get("RBLSMTPD") and not client.user:
            facts = replace(facts, listed=await self.relay_entry(client) is not None)
        if facts.local:
            return await self._with_mailbox(facts, recipient)
        if facts.needs_relay:
            return await self._with_relay_list(facts)
        return facts

    def about_data(
        self, client: Client, transaction: Transaction, data: DataReader
    ) -> tuple[DataFacts, bytes]:
        """Of a mail that was read; and the mail, which the reader lets go."""
        bare_line_ends = data.has_bare_line_ends
        body = data.body()
        big_header = has_big_header(body, self.control.get(smtp_values.MAXHEADER))
        facts = DataFacts(
            client=client,
            sender=transaction.sender,
            too_big=data.too_big,
            no_room=data.no_room,
            bare_line_ends=bare_line_ends,
            nul=has_nul(body),
            long_line=has_long_line(body, self.control.get(smtp_values.MAXLINE)),
            big_header=big_header,
            hops=0 if big_header else hops(body),
        )
        return facts, body

    def _at_hand(self, client: Client, transaction: Transaction, recipient: Address) -> RcptFacts:
        get = self.control.get
        return RcptFacts(
            client=client,
            sender=verp.owner(transaction.sender),
            recipient=str(recipient),
            size=transaction.size,
            accepted_so_far=len(transaction.recipients),
            max_recipients=get(smtp_values.MAXRCPT),
            sender_lines=get(smtp_values.BADMAILFROM),
            bad_recipients=get(smtp_values.BADRCPTTO),
            local=recipient.domain in self.directory.domains,
            in_rcpthosts=in_hosts(recipient.domain, get(smtp_values.RCPTHOSTS)),
            relay_denied=get(smtp_values.RELAYDENIED),
            recipients=self.meter.use(RECIPIENTS, client),
            badrcpt=self.meter.use(BADRCPT, client),
            relaying=bool(transaction.relay_user),
        )

    async def _with_mailbox(self, facts: RcptFacts, recipient: Address) -> RcptFacts:
        found = await Resolver(self.directory, self.control).resolve(recipient)
        facts = known(facts, found)
        for action in found.actions:
            account = action.account if isinstance(action, Store) else None
            if account and self.room and (account.quota or self._domain_quota(account)):
                facts = await self._with_room(facts, account, self.room)
        return facts

    async def _with_relay_list(self, facts: RcptFacts) -> RcptFacts:
        entry = await self.relay_entry(facts.client)
        user = entry.user if entry else ""
        limit = self.control.get(smtp_values.RELAYMAILFROM)
        return replace(
            facts,
            relay_user=user,
            sending=await self._sending(user, facts.sender, limit),
            relayed=self.meter.use(RELAYED, facts.client),
        )

    async def _sending(self, user: str, sender: str, limit: str) -> Sending | None:
        """`user`: who logged in, here or by POP3. None: nothing limits him."""
        if not user or limit == "any":
            return None
        owner = await self._owner(sender) if limit == "account" else ""
        return Sending(user, sender, limit, owner)

    async def _owner(self, sender: str) -> str:
        try:
            separators = self.control.get(EXTENSIONS)
            return await self.directory.owner(parse_address(sender), separators)
        except AddressError:  # the null sender: nobody's
            return ""

    async def _with_room(self, facts: RcptFacts, account: Account, room: Room) -> RcptFacts:
        used, used_by_domain = await room.used(account.address)
        return replace(
            facts,
            quota=account.quota,
            used=used,
            domain_quota=self._domain_quota(account) if used_by_domain else ANY,
            domain_used=used_by_domain or NOTHING,
            over_quota_is_final=self.control.get(smtp_values.OVERQUOTA) == "refuse",
        )

    def _domain_quota(self, account: Account) -> Quota:
        domain = self.directory.domain(account.address.rpartition("@")[2])
        return domain.quota if domain else ANY
