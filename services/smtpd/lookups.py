"""Asks DNS about clients and senders: lists, names, domains. It judges nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.smtpd.facts import Domain
from services.smtpd.gather import Gatherer
from tubepost import blocklists, dns_client, maillog, metrics, smtp_values
from tubepost.blocklists import DnsList, Found, Lists
from tubepost.dns_client import DnsClient, NoSuchName, Trouble
from tubepost.sender_patterns import Patterns, Senders
from tubepost.setting import Setting

COMPLAIN_EVERY = 60.0
"""Seconds between two log lines about one list."""
MAX_NAMES = 4
"""PTR records of a client that are looked at."""

ASKING: Sequence[Setting[Any]] = (
    smtp_values.RBL,
    smtp_values.MFDNSCHECK,
    smtp_values.LOOKUPHOST,
    smtp_values.BADHELO,
    smtp_values.HELOCHECK,
    smtp_values.BADMAILFROM,
)
"""Nothing is asked while all of them have their defaults."""

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
        return self.lookup_host != "0" or self.judges_name

    @property
    def judges_name(self) -> bool:
        """The name decides something: RCPT waits for it, not only the end of DATA."""
        return self.senders.need_name or self.helo_check == "="


class Lookups:
    """What the sessions of a process share: the name servers, and when it complained last."""

    def __init__(self, gather: Gatherer, dns: DnsClient) -> None:
        self.gather, self._dns = gather, dns
        self._complained: dict[str, float] = {}

    @property
    def idle(self) -> bool:
        """No setting wants anything: the rule, so it is found out fast."""
        get = self.gather.control.get
        return all(get(setting) is setting.default for setting in ASKING)

    @property
    def wishes(self) -> Wishes:
        get = self.gather.control.get
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
