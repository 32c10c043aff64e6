"""What is found out about one client and its sender, as far as a setting wants it.

The questions about a client begin when it connects and are awaited where the answer is needed. The
answers count for strangers only; whether a client is on our relay list is not known at connect.
"""

import asyncio

from services.smtpd import policy
from services.smtpd.facts import Client, Domain, RcptFacts, StrangerFacts
from services.smtpd.lookups import Lookups, Wishes
from services.smtpd.refusal import Refusal
from tubepost.blocklists import Found


def begin(lookups: Lookups | None, client: Client) -> "Findings | None":
    """At connect; None where no setting wants anything."""
    if lookups is None or lookups.idle:
        return None
    wishes = lookups.wishes
    return Findings(lookups, client, wishes) if wishes else None


class Findings:
    """What is found out about one client."""

    def __init__(self, lookups: Lookups, client: Client, wishes: Wishes) -> None:
        self._lookups, self._wishes = lookups, wishes
        until = asyncio.get_running_loop().time() + wishes.seconds
        lists = () if client.kind.auth_required or _settled_by_rule(client) else wishes.lists
        self._hits = [
            (each, asyncio.create_task(lookups.ask_list(each, client.ip, until))) for each in lists
        ]
        self._name: asyncio.Task[str | None] | None = None
        if wishes.wants_name:
            paranoid = wishes.lookup_host == "paranoid"
            name = lookups.client_name(client.ip, until, paranoid=paranoid)
            self._name = asyncio.create_task(name)

    def drop(self) -> None:
        """The client is gone: nobody waits for the answers any more."""
        for task in (self._name, *(task for _, task in self._hits)):
            if task:
                task.cancel()

    async def name(self) -> str | None:
        """The client's name; "" = it has none, None = not known (yet)."""
        return await asyncio.shield(self._name) if self._name else None

    async def shown_name(self) -> str:
        """For Received and the log."""
        return (await self.name() or "") if self._wishes.lookup_host != "0" else ""

    async def refusal(self, facts: RcptFacts) -> Refusal | None:
        """What speaks against a stranger. Whoever turns out to be on the relay list is none."""
        if facts.relays:
            return None
        said = policy.refusal(policy.STRANGER, await self.about(facts))
        return None if said and await self._lookups.gather.relay_entry(facts.client) else said

    async def about(self, facts: RcptFacts) -> StrangerFacts:
        """What the policies on strangers look at."""
        listing = await self._listing()
        if listing:
            return StrangerFacts(rcpt=facts, listing=listing)
        wishes, helo = self._wishes, facts.client.helo.lower()
        asked = wishes.helo_check in ("a", "m") and helo
        return StrangerFacts(
            rcpt=facts,
            bad_helo=wishes.bad_helo,
            helo_check=wishes.helo_check,
            helo_domain=await self._lookups.domain(helo, mx=wishes.helo_check == "m")
            if asked
            else Domain.EXISTS,
            name=await self.name() if wishes.judges_name else None,
            sender_domain=await self._sender_domain(facts),
        )

    async def _listing(self) -> str:
        """The reply of the first list that decides, "" = none refuses."""
        for dns_list, task in self._hits:
            found, text = await asyncio.shield(task)
            if found is Found.LISTED:
                return "" if dns_list.allows else f"{self._wishes.list_code} {text}"
        return ""

    async def _sender_domain(self, facts: RcptFacts) -> Domain:
        sender = facts.sender
        if not (self._wishes.sender_domain and sender) or facts.sender_exempt:
            return Domain.EXISTS
        return await self._lookups.domain(sender.rpartition("@")[2].lower())


def _settled_by_rule(client: Client) -> bool:
    """RBLSMTPD in a rule: empty lets in, a text refuses; no list is asked (RBL-1)."""
    return client.rule.relays or "RBLSMTPD" in client.rule.variables
