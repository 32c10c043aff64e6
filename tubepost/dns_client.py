"""Asks name servers, for all who need to know: the only module that knows dnspython.

Answers are kept for their time to live; the same question is asked once however many wait for it.
It never takes a fault of the name servers for an answer: that is Trouble, which is temporary.
"""

import asyncio
import contextlib
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdata import Rdata
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.TXT import TXT

from tubepost import idn, maillog
from tubepost.address import parse_domain
from tubepost.dns_cache import DnsCache
from tubepost.errors import BadInput
from tubepost.ports import Clock

MAX_KEPT = 20_000
"""Records kept at most, a "no" counting as one; the answers unused for longest go."""
MAX_TTL = 86_400.0
MAX_NEGATIVE_TTL = 3600.0
"""Seconds an answer, or a "no", is kept at most, whatever its zone says (RFC 2308 5)."""
MAX_HOSTS = 50
"""Records that name hosts or their addresses, taken from one answer. A hostile zone has room for
thousands, and all who send to it would walk through them again and again."""
HOST_KINDS = frozenset({"MX", "A", "AAAA"})
LONG_TTL = 60.0
"""Seconds an answer with more of them is kept at least."""
PATIENCE = 2.0
"""Seconds a name server has before the next one is asked."""
MAX_WAITING = 1000
"""Different questions under way at once: each has a socket."""
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class NoSuchName:
    """The name servers say that there is nothing by that name (or it can be no name)."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Nobody knows now. `why`: `timed out`, or the kind of the error."""

    why: str


Answer = Sequence[Rdata] | NoSuchName | Trouble
"""The records, none where the name has other kinds only; or why there is no answer."""


class DnsClient:
    """Asks `nameservers` (IPs), or those of /etc/resolv.conf, for up to `seconds` a question.

    `trouble_seconds`: so long a question that got no answer is not asked again (RFC 9520).
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        *,
        port: int = 53,
        seconds: float = 20.0,
        trouble_seconds: float = 0.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._dns = _resolver(nameservers, port) if nameservers else _configured()
        self._dns.lifetime = seconds
        self._dns.timeout = min(PATIENCE, seconds / len(self._dns.nameservers))
        self._dns.use_edns(0, 0, 1232)  # octets of an answer that no path has to split
        self._probe = copy.copy(self._dns)
        self._probe.lifetime = PROBE_SECONDS
        self._kept = DnsCache[Answer](MAX_KEPT, _weight)
        self._trouble_seconds, self._clock = trouble_seconds, clock
        self._waiting: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._in_doubt = asyncio.Event()
        self.away = ""

    async def records(self, name: str, kind: str) -> Answer:
        """The records of one kind (`MX`) that a name has."""
        kept = self.kept(name, kind)
        if kept is not None:
            return kept
        question = (name.lower(), kind)
        task = self._waiting.get(question)
        if task is None:
            if len(self._waiting) >= MAX_WAITING:
                return Trouble("too many questions at once")
            task = self._waiting[question] = asyncio.create_task(self._ask(*question))
            task.add_done_callback(lambda _: self._waiting.pop(question, None))
        return await asyncio.shield(task)  # others may wait for it too

    def kept(self, name: str, kind: str) -> Answer | None:
        """The same without asking anybody; None where it is not known now."""
        return self._kept.get((name.lower(), kind), self._clock())

    async def _ask(self, name: str, kind: str) -> Answer:
        answer, seconds = await self._look_up(name, kind)
        if seconds > 0:
            self._kept.put((name, kind), answer, self._clock() + seconds)
        return answer

    async def _look_up(self, name: str, kind: str) -> tuple[Answer, float]:
        """The answer, and for how many seconds it holds."""
        try:
            absolute = _absolute(name)
        except (dns.exception.DNSException, UnicodeError, idn.DomainError):
            return NoSuchName(), 0.0
        try:
            answer = await self._dns.resolve(absolute, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            return NoSuchName(), _negative_ttl(error)
        except (dns.exception.DNSException, OSError) as error:
            if not _was_answered(error):
                self._in_doubt.set()
            timed_out = isinstance(error, dns.exception.Timeout)
            return self._trouble("timed out" if timed_out else type(error).__name__)
        self._ask_first(answer.nameserver)
        if answer.rrset is not None:
            records = list(answer.rrset)
            seconds = min(answer.chaining_result.minimum_ttl, MAX_TTL)
            if len(records) <= MAX_HOSTS or kind not in HOST_KINDS:
                return records, seconds
            return best(records), max(seconds, LONG_TTL)
        if _is_referral(answer.response):
            return self._trouble("lame server")
        return [], min(answer.chaining_result.minimum_ttl, MAX_NEGATIVE_TTL)

    def _trouble(self, why: str) -> tuple[Answer, float]:
        return Trouble(why), self._trouble_seconds

    def _ask_first(self, server: str | None) -> None:
        """The one that answered: else each question would wait for one that is away."""
        servers = self._dns.nameservers
        if server is not None and server in servers and server != servers[0]:
            self._dns.nameservers = [server, *(s for s in servers if s != server)]

    async def watch(self, wanted: Callable[[], bool], *, every: float = 3.0) -> None:
        """For ever: `away` says why nobody answers at all, "" while somebody does.

        After a question that got no answer the root is asked for: a dead zone is no dead resolver.
        """
        while True:
            await self._in_doubt.wait()
            self._in_doubt.clear()
            while wanted() and not await self._answers():
                self._is_away("no name server answers")
                await asyncio.sleep(every)
            self._is_away("")

    def _is_away(self, why: str) -> None:
        if why != self.away:
            maillog.dns_away(why) if why else maillog.dns_back()
        self.away = why

    async def _answers(self) -> bool:
        try:
            await self._probe.resolve(dns.name.root, "NS", search=False, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError) as error:
            return _was_answered(error)
        return True


def best(records: Sequence[Rdata]) -> list[Rdata]:
    """MAX_HOSTS of them; of MX records those with the lowest preferences."""
    return sorted(records, key=lambda r: r.preference if isinstance(r, MX) else 0)[:MAX_HOSTS]


def exchangers(answer: Sequence[Rdata]) -> list[tuple[int, str]]:
    """(preference, host) of MX records; the host is "" for a null MX (RFC 7505)."""
    return [(r.preference, host_name(r.exchange)) for r in answer if isinstance(r, MX)]


def hosts(answer: Sequence[Rdata]) -> list[str]:
    """The names that PTR records point to, as far as they can be host names."""
    found = []
    for record in answer:
        if isinstance(record, PTR):
            with contextlib.suppress(BadInput):
                found.append(parse_domain(host_name(record.target)))
    return found


def texts(answer: Sequence[Rdata]) -> list[str]:
    """What TXT records say, the strings of each joined; octets that are no ASCII become `?`."""
    return [
        b"".join(r.strings).decode("ascii", "replace").replace("\ufffd", "?")
        for r in answer
        if isinstance(r, TXT)
    ]


def reverse_name(ip: str) -> str:
    """The name whose PTR record names the host with this address (its interface left out)."""
    return dns.reversename.from_address(ip.partition("%")[0]).to_text(omit_final_dot=True)


def host_name(name: dns.name.Name) -> str:
    """A host name without its last dot; "" for the root."""
    return _text(name.labels)


@lru_cache(4096)  # what dnspython does letter by letter; answers that are kept are read again
def _text(labels: tuple[bytes, ...]) -> str:
    name = dns.name.Name(labels)
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _weight(answer: Answer) -> int:
    return max(1, len(answer)) if isinstance(answer, Sequence) else 1


def _absolute(name: str) -> dns.name.Name:
    """By IDNA 2008: dnspython itself would take `faß` for `fass`."""
    return dns.name.from_text(name if name.isascii() else idn.a_labels(name), dns.name.root)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    responses: Mapping[dns.name.Name, dns.message.QueryMessage] = error.kwargs["responses"]
    ttls = [response.resolve_chaining().minimum_ttl for response in responses.values()]
    return min(MAX_NEGATIVE_TTL, *ttls)


def _is_referral(response: dns.message.Message) -> bool:
    """It names other servers instead of an answer (RFC 2308 2.2), or has nobody's authority.

    An empty answer of such a server says nothing about the name.
    """
    kinds = {rrset.rdtype for rrset in response.authority}
    if dns.rdatatype.SOA in kinds:
        return False
    answers_for_it = response.flags & (dns.flags.AA | dns.flags.RA)
    return dns.rdatatype.NS in kinds or not answers_for_it


def _was_answered(error: Exception) -> bool:
    """Whether any name server said anything: then they are there, whatever they said."""
    if not isinstance(error, dns.exception.DNSException):
        return False
    tries = error.kwargs.get("errors") or ()
    return any(response is not None for *_, response in tries)


def _resolver(nameservers: Sequence[str], port: int) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = list(nameservers)
    resolver.port = port
    return resolver


def _configured() -> dns.asyncresolver.Resolver:
    """The system's resolver; the one on this host where none is named (resolv.conf(5))."""
    try:
        return dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return _resolver(["127.0.0.1"], 53)
