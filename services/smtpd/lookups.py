"""Asks DNS about a client and its sender, as far as a setting wants it; policies judge.

The questions about a client begin when it connects and are awaited where the answer is needed. They
are asked of strangers only: who may relay is neither looked up in lists nor checked.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.smtpd import policy
from services.smtpd.facts import Client, Domain, RcptFacts, StrangerFacts
from services.smtpd.refusal import Refusal
from tubepost import blocklists, dns_client, maillog, metrics, smtp_values
from tubepost.blocklists import DnsList, Found, Lists
from tubepost.control import Control
from tubepost.dns_client import DnsClient, NoSuchName, Trouble
from tubepost.relay_list import RelayList
from tubepost.sender_patterns import Patterns, Senders

COMPLAIN_EVERY = 60.0
"""Seconds between two log lines about one list."""
MAX_NAMES = 4
"""PTR records of a client that are looked at."""

Hit = tuple[Found, str]
"""What a list says, and the text for the client."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """The settings as they are when a client connects. `seconds`: how long it is waited for."""

    senders: Senders
    bad_helo: Patterns
    helo_check: str
    sender_domain: bool
    lookup_host: str
    lists: Lists
    list_code: str
    seconds: int

    def __bool__(self) -> bool:
        """Anything at all is to be asked or compared."""
        return (
            self.about_dns
            or bool(self.bad_helo or self.senders.strangers)
            or (self.helo_check != "0")
        )

    @property
    def about_dns(self) -> bool:
        checks = self.sender_domain or self.wants_name or self.helo_check in ("a", "m")
        return bool(self.lists or checks)

    @property
    def wants_name(self) -> bool:
        return self.lookup_host != "0" or self.senders.need_name or self.helo_check == "="


class Lookups:
    """What the sessions of a process share: the name servers, and when it complained last."""

    def __init__(self, control: Control, dns: DnsClient, relay_list: RelayList) -> None:
        self._control, self._dns, self.relay_list = control, dns, relay_list
        self._complained: dict[str, float] = {}

    @property
    def wishes(self) -> Wishes:
        get = self._control.get
        return Wishes(
            senders=get(smtp_values.BADMAILFROM),
            bad_helo=get(smtp_values.BADHELO),
            helo_check=get(smtp_values.HELOCHECK),
            sender_domain=get(smtp_values.MFDNSCHECK) == 1,
            lookup_host=get(smtp_values.LOOKUPHOST),
            lists=get(smtp_values.RBL),
            list_code=get(smtp_values.RBLCODE),
            seconds=get(smtp_values.RBLTIMEOUT),
        )

    def begin(self, client: Client) -> "Findings | None":
        """At connect; None where no setting wants anything."""
        wishes = self.wishes
        return Findings(self, client, wishes) if wishes else None

    async def ask_list(self, dns_list: DnsList, ip: str, until: float) -> Hit:
        """A first, TXT for the text. Whatever goes wrong, the list has said nothing (RBL-3)."""
        question = blocklists.question(ip, dns_list.base)
        try:
            async with asyncio.timeout_at(until):
                found, text = await self._hit(dns_list, ip, question)
        except TimeoutError:
            found, text = self._failed(dns_list, "timed out"), ""
        listed = "allowed" if dns_list.allows else "listed"
        result = listed if found is Found.LISTED else found.value
        metrics.RBL_ANSWERS.labels(dns_list.base, result).inc()
        return found, text

    async def _hit(self, dns_list: DnsList, ip: str, question: str) -> Hit:
        answer = await self._dns.records(question, "A")
        if isinstance(answer, NoSuchName):
            return Found.CLEAR, ""
        if isinstance(answer, Trouble):
            return self._failed(dns_list, answer.why), ""
        records = [record.to_text() for record in answer]
        found = blocklists.meaning(dns_list, records)
        if found is Found.FAILED:
            self._failed(dns_list, f"it answers {records[0]}")
        if found is not Found.LISTED or dns_list.allows:
            return found, ""
        return found, blocklists.text_for(dns_list, ip, await self._texts(dns_list, question))

    async def _texts(self, dns_list: DnsList, question: str) -> Sequence[str]:
        if dns_list.text:
            return ()
        answer = await self._dns.records(question, "TXT")
        return () if isinstance(answer, NoSuchName | Trouble) else dns_client.texts(answer)

    def _failed(self, dns_list: DnsList, why: str) -> Found:
        now = asyncio.get_running_loop().time()
        if now >= self._complained.get(dns_list.base, 0.0):
            if len(self._complained) > blocklists.MAX_LISTS:
                self._complained.clear()  # of settings long gone
            self._complained[dns_list.base] = now + COMPLAIN_EVERY
            maillog.list_failed(dns_list.base, why)
        return Found.FAILED

    async def client_name(self, ip: str, until: float, *, paranoid: bool) -> str | None:
        """The reverse name; "" where there is none (that points back), None: nobody knows."""
        try:
            async with asyncio.timeout_at(until):
                answer = await self._dns.records(dns_client.reverse_name(ip), "PTR")
                if isinstance(answer, Trouble):
                    return None
                names = [] if isinstance(answer, NoSuchName) else dns_client.hosts(answer)
                if not paranoid:
                    return names[0] if names else ""
                return await self._confirmed(names[:MAX_NAMES], ip)
        except TimeoutError:
            return None

    async def _confirmed(self, names: Sequence[str], ip: str) -> str | None:
        kind = "AAAA" if ":" in ip else "A"
        answers = await asyncio.gather(*(self._dns.records(name, kind) for name in names))
        for name, answer in zip(names, answers, strict=True):
            known = () if isinstance(answer, NoSuchName | Trouble) else answer
            if ip in (record.to_text() for record in known):
                return name
        return None if any(isinstance(answer, Trouble) for answer in answers) else ""

    async def domain(self, name: str, *, mx: bool = True) -> Domain:
        """Whether mail could be sent to a domain: an MX or an address. An IP always could."""
        if name.startswith("["):
            return Domain.EXISTS
        answers = [await self._dns.records(name, "MX")] if mx else []
        if answers and not isinstance(answers[0], NoSuchName | Trouble) and answers[0]:
            null = all(not host for _, host in dns_client.exchangers(answers[0]))
            return Domain.MISSING if null else Domain.EXISTS
        if not (answers and isinstance(answers[0], NoSuchName)):
            both = (self._dns.records(name, kind) for kind in ("A", "AAAA"))
            answers += await asyncio.gather(*both)
        if any(not isinstance(answer, NoSuchName | Trouble) and answer for answer in answers):
            return Domain.EXISTS
        unknown = any(isinstance(answer, Trouble) for answer in answers)
        return Domain.UNKNOWN if unknown else Domain.MISSING


class Findings:
    """What is found out about one client."""

    def __init__(self, lookups: Lookups, client: Client, wishes: Wishes) -> None:
        self._lookups, self._wishes = lookups, wishes
        until = asyncio.get_running_loop().time() + wishes.seconds
        lists = () if client.kind.auth_required or _settled_by_rule(client) else wishes.lists
        self._hits = [
            (each, asyncio.create_task(lookups.ask_list(each, client.ip, until))) for each in lists
        ]
        paranoid = wishes.lookup_host == "paranoid"
        name = lookups.client_name(client.ip, until, paranoid=paranoid)
        self._name = asyncio.create_task(name) if wishes.wants_name else name.close()

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
        said = policy.refusal(policy.STRANGER, await self._about(facts))
        if said and await self._lookups.relay_list.lookup(facts.client.ip):
            return None
        return said

    async def _about(self, facts: RcptFacts) -> StrangerFacts:
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
            name=await self.name(),
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
